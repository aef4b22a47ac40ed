// typical.toml, as text.
#pragma once

#include <string_view>

namespace kvcomm {

extern const std::string_view kTypicalToml;

}  // namespace kvcomm
