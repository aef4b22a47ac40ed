// Text as Unicode characters, with what Python's str methods mean by lower case, white space and
// word. Checked against Python 3.11 for every character assigned in its Unicode 14.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kvcomm {

// UTF-8 to characters; bytes that are no UTF-8 become U+FFFD.
std::u32string decode_utf8(std::string_view text);
std::string encode_utf8(std::u32string_view text);

bool is_punctuation(char32_t c);  // of a Unicode category P*
bool is_ascii_punctuation(
    char32_t c);            // in Python's string.punctuation, symbols such as $ and + too
bool is_space(char32_t c);  // str.isspace()
bool is_word(char32_t c);   // \w of Python's re; between it and what is not lies \b

// The lower case of text[at], which a capital sigma's neighbours decide too.
void append_lower(std::u32string& made, std::u32string_view text, size_t at);
std::u32string lower(std::u32string_view text);                       // str.lower()
std::vector<std::u32string> split(std::u32string_view text);          // str.split()
std::u32string join_words(const std::vector<std::u32string>& words);  // " ".join(words)

}  // namespace kvcomm
