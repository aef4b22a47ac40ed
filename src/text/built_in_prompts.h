// The content of prompts.toml, put into the program by CMake.
#pragma once

#include <string_view>

namespace kvcomm {

extern const std::string_view kBuiltInPrompts;

}  // namespace kvcomm
