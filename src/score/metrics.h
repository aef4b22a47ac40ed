// The metrics themselves, one function each; score.cpp's table names them.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace kvcomm {

double f1_match(std::string_view answer, std::span<const std::string> answers);
double includes(std::string_view answer, std::span<const std::string> answers);

// The text that f1_match compares as a set of blank-separated words.
std::string f1_text(std::string_view text);

}  // namespace kvcomm
