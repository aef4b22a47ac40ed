// What tells the keys of one cell apart, read from their key_json.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace kvcomm {

// "dtype was float32, is bfloat16; other weights of sender": from the older key to the newer.
std::string difference_text(const std::string& older_json, const std::string& newer_json);

// "dtype=float32, weights of sender=0a1b2c3d": what a key has that differs from the shown one's;
// of a long value some digits of it or of its hash. "" where they differ in nothing.
std::string variant_name(const std::string& key_json, const std::string& shown_json);

// The part of a key at that JSON pointer ("/parameters/ratio"); null where it has none.
nlohmann::json key_part(const std::string& key_json, const std::string& pointer);

// The text without the seed that draws layers: equal for cells that differ in nothing but that.
std::string key_without_seed(const std::string& key_json);

}  // namespace kvcomm
