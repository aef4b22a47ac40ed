// Small helpers on strings that several folders need.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kvcomm {

// The candidate that a user most probably meant, or "" when none is near (edit distance <= 1 +
// length/4).
std::string near_miss(std::string_view word, std::span<const std::string> candidates);

// " Did you mean 'x'?" or "".
std::string did_you_mean(std::string_view word, std::span<const std::string> candidates);

// A number in its shortest form that reads back as the same double: 0.5, 1, 10, 1e-05.
std::string shortest(double value);

// Python's str.strip(), lstrip() and rstrip(): without white space, of any script. UTF-8.
enum class Side { kBoth, kLeft, kRight };
std::string_view strip(std::string_view text, Side side = Side::kBoth);

std::string join(std::span<const std::string> parts, std::string_view separator);

}  // namespace kvcomm
