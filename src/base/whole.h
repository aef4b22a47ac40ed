// Integers of JSON files: nlohmann's own conversion makes 2 of 2.5, anything of 1e300, and cuts off
// the high bits of what is too large.
#pragma once

#include <fmt/format.h>

#include <concepts>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>

namespace kvcomm {

// json.get<Integer<T>>() throws Json::exception unless the value is an integer that T holds.
template <std::integral T>
struct Integer {
  T value;
  operator T() const { return value; }
};

template <typename Json, std::integral T>
void from_json(const Json& json, Integer<T>& whole) {
  const bool fits = json.is_number_unsigned() ? std::in_range<T>(json.template get<uint64_t>())
                                              : json.is_number_integer() &&
                                                    std::in_range<T>(json.template get<int64_t>());
  if (!fits) {
    throw Json::type_error::create(302, fmt::format("{} is no integer in range", json.dump()),
                                   nullptr);
  }
  whole.value = json.template get<T>();
}

}  // namespace kvcomm
