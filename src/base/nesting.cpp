#include "base/nesting.h"

#include <algorithm>

#include "base/error.h"

namespace kvcomm {

size_t first_too_deep(std::string_view json) {
  size_t depth = 0;
  bool quoted = false;
  for (size_t at = 0; at < json.size(); ++at) {
    const char c = json[at];
    if (quoted && c == '\\') {
      ++at;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (!quoted && (c == '[' || c == '{')) {
      if (++depth > kDeepestJson) return at;
    } else if (!quoted && (c == ']' || c == '}')) {
      depth -= depth > 0;
    }
  }
  return json.size();
}

namespace {

// The place of the quotation mark that closes the TOML string which begins at `at`.
size_t string_end(std::string_view toml, size_t at) {
  const std::string thrice(3, toml[at]);
  const bool long_form = toml.substr(at, 3) == thrice;
  const std::string_view mark = std::string_view(thrice).substr(0, long_form ? 3 : 1);
  for (size_t i = at + mark.size(); i < toml.size(); ++i) {
    if (toml[at] == '"' && toml[i] == '\\') {
      ++i;
    } else if (toml.substr(i).starts_with(mark)) {
      return i + mark.size() - 1;
    }
  }
  return toml.size();
}

}  // namespace

size_t first_long_key(std::string_view toml) {
  size_t dots = 0;
  for (size_t at = 0; at < toml.size(); ++at) {
    const char c = toml[at];
    if (c == '"' || c == '\'') {
      at = string_end(toml, at);
    } else if (c == '#') {
      at = std::min(toml.find('\n', at), toml.size());
    } else if (c != '.') {
      if (std::string_view("=,[{\n").find(c) != std::string_view::npos) dots = 0;
    } else if (++dots > kMostDots) {
      return at;
    }
  }
  return toml.size();
}

void require_short_keys(std::string_view toml, std::string_view file) {
  const size_t at = first_long_key(toml);
  if (at == toml.size()) return;
  fail(Exit::kUsage, "{}:{}: a key has more than {} dots, which no key here has.", file,
       1 + std::ranges::count(toml.substr(0, at), '\n'), kMostDots);
}

}  // namespace kvcomm
