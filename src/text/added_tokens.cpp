#include "text/added_tokens.h"

#include <algorithm>

#include "text/unicode.h"

namespace kvcomm {
namespace {

// \w of Rust's regular expressions, by which the package decides what a word is.
bool is_word_character(std::string_view text, CharacterAt character, size_t at) {
  static const Regex word("[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{200c}\\x{200d}]");
  return word.find(text.substr(at, character.size), 0).has_value();
}

bool stands_alone(std::string_view text, TextRange match) {
  if (match.begin > 0) {
    const CharacterAt before = character_before(text, match.begin);
    if (is_word_character(text, before, match.begin - before.size)) return false;
  }
  return match.end == text.size() ||
         !is_word_character(text, character_at(text, match.end), match.end);
}

size_t skip_space_back(std::string_view text, size_t at) {
  while (at > 0 && is_white_space(character_before(text, at).value)) {
    at -= character_before(text, at).size;
  }
  return at;
}

size_t skip_space(std::string_view text, size_t at) {
  while (at < text.size() && is_white_space(character_at(text, at).value)) {
    at += character_at(text, at).size;
  }
  return at;
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) {
  if (tokens.empty()) return;
  // The first alternative that matches wins, so the longest stand first.
  std::stable_sort(tokens.begin(), tokens.end(), [](const AddedToken& a, const AddedToken& b) {
    return a.pattern.size() > b.pattern.size();
  });
  std::string any;
  for (AddedToken& token : tokens) {
    if (!any.empty()) any += '|';
    any += Regex::literal(token.pattern);
    tokens_.emplace(token.pattern, std::move(token));
  }
  any_.emplace(any);
}

std::vector<Section> AddedTokens::split(std::string_view text) const {
  std::vector<Section> sections;
  size_t done = 0;  // what lies before is in sections
  std::optional<TextRange> match;
  for (size_t from = 0; any_ && (match = any_->find(text, from)); from = match->end) {
    const AddedToken& token =
        tokens_.find(text.substr(match->begin, match->end - match->begin))->second;
    if (token.single_word && !stands_alone(text, *match)) continue;
    const size_t begin =
        token.lstrip ? std::max(skip_space_back(text, match->begin), done) : match->begin;
    if (done < begin) sections.push_back({text.substr(done, begin - done), std::nullopt});
    sections.push_back({{}, token.id});
    done = token.rstrip ? skip_space(text, match->end) : match->end;
  }
  if (done < text.size()) sections.push_back({text.substr(done), std::nullopt});
  return sections;
}

}  // namespace kvcomm
