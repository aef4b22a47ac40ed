// JSON and TOML that nest deeper than any file of this program needs are refused before they are
// parsed: what copies, prints or frees nested values goes down the stack with them.
#pragma once

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace kvcomm {

constexpr size_t kDeepestJson = 100;

// The byte that opens a level deeper than kDeepestJson; the text's size where none does.
size_t first_too_deep(std::string_view json);

// Json::parse of a text that is no deeper; throws Json::exception.
template <typename Json = nlohmann::json>
Json parse_json(std::string_view text) {
  if (const size_t at = first_too_deep(text); at < text.size()) {
    throw Json::other_error::create(
        501, fmt::format("byte {} opens a level deeper than {}", at + 1, kDeepestJson), nullptr);
  }
  return Json::parse(text);
}

constexpr size_t kMostDots = 15;

// The dot of a TOML key that is one too many, since each opens a table in the one before it; the
// text's size where none is. Brackets within brackets are counted by toml++ itself.
size_t first_long_key(std::string_view toml);

// Fails (kUsage), with file and line, where there is such a dot.
void require_short_keys(std::string_view toml, std::string_view file);

}  // namespace kvcomm
