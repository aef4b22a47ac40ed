// Python's str, character by character: what its methods and Jinja's filters need of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "base/unicode.h"

namespace kvcomm::jinja {

bool is_alphabetic(char32_t character);
bool is_numeric(char32_t character);
bool is_decimal(char32_t character);
bool is_upper(char32_t character);
bool is_lower(char32_t character);
bool is_ascii(std::string_view text);

std::string upper(std::string_view text);
std::string lower(std::string_view text);
std::string capitalize(std::string_view text);
std::string title(std::string_view text);   // str.title(): words are runs of letters with case
std::string quoted(std::string_view text);  // repr(): 'it', "it's", 'a\nb'

// set: the characters to take off; none: white space.
std::string strip(std::string_view text, Side side, std::optional<std::string_view> set);

// str.split() and rsplit(). separator none: runs of white space; most < 0: all.
std::vector<std::string> split(std::string_view text, std::optional<std::string_view> separator,
                               int64_t most, Side from);
std::vector<std::string> split_lines(std::string_view text, bool keep_ends);
std::string replace(std::string_view text, std::string_view old, std::string_view made,
                    int64_t most);

}  // namespace kvcomm::jinja
