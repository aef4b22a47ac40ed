#include "store/variants.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "base/hash.h"
#include "base/text.h"

namespace kvcomm {

namespace {

using Json = nlohmann::json;

// A value that two keys do not share; null where a key lacks it.
struct Difference {
  std::string what;
  Json older, newer;
};

// "parameters.alpha" is just alpha to a reader; what the program calls by a role is more than it
// says.
std::string plain_name(const std::string& path) {
  static const std::map<std::string, std::string> kNames{{"sender", "weights of sender"},
                                                         {"receiver", "weights of receiver"},
                                                         {"chat_template", "chat template"},
                                                         {"dataset.fingerprint", "data"},
                                                         {"dataset.name", "data set"}};
  constexpr std::string_view kParameters = "parameters.";
  if (path.starts_with(kParameters)) return path.substr(kParameters.size());
  const auto found = kNames.find(path);
  return found == kNames.end() ? path : found->second;
}

void compare(const Json& older, const Json& newer, const std::string& path,
             std::vector<Difference>& differences) {
  if (older == newer) return;
  if (!older.is_object() || !newer.is_object()) {
    differences.push_back({plain_name(path), older, newer});
    return;
  }
  std::set<std::string> names;
  for (const Json* side : {&older, &newer}) {
    for (const auto& [name, value] : side->items()) names.insert(name);
  }
  for (const std::string& name : names) {
    compare(older.value(name, Json()), newer.value(name, Json()),
            path.empty() ? name : path + "." + name, differences);
  }
}

std::vector<Difference> differences_of(const std::string& older_json,
                                       const std::string& newer_json) {
  Json older = Json::parse(older_json, nullptr, /*allow_exceptions=*/false);
  Json newer = Json::parse(newer_json, nullptr, /*allow_exceptions=*/false);
  if (!older.is_object() || !newer.is_object()) {
    older = older_json;
    newer = newer_json;
  }
  std::vector<Difference> differences;
  compare(older, newer, older.is_object() ? "" : "key", differences);
  // The calibration's key follows from values that stand here themselves, and what is compared of
  // texts from the metric.
  const bool other_metric = std::ranges::count(differences, "metric", &Difference::what) > 0;
  const size_t all = differences.size();
  std::erase_if(differences, [&](const Difference& difference) {
    const bool of_texts = difference.what == "normalisation" || difference.what == "lemmas";
    return (all > 1 && difference.what == "calibration") || (other_metric && of_texts);
  });
  return differences;
}

std::string text_of(const Json& value) {
  if (value.is_null()) return "none";
  const std::string quoted = value.dump();  // with line ends escaped
  return value.is_string() ? quoted.substr(1, quoted.size() - 2) : quoted;
}

// Prompts and hashes say little to a reader.
bool is_long(const Json& value) { return text_of(value).size() > 24; }

std::string short_text(const Json& value) {
  constexpr size_t kDigits = 8;
  const std::string text = text_of(value);
  if (!is_long(value)) return text;
  const bool hash = text.find_first_not_of("0123456789abcdef") == std::string::npos;
  return (hash ? text : hash64_hex(text)).substr(0, kDigits);
}

}  // namespace

std::string difference_text(const std::string& older_json, const std::string& newer_json) {
  std::vector<std::string> parts;
  for (const auto& [what, older, newer] : differences_of(older_json, newer_json)) {
    const bool named = !is_long(older) && !is_long(newer);
    parts.push_back(named ? fmt::format("{} was {}, is {}", what, text_of(older), text_of(newer))
                          : "other " + what);
  }
  return join(parts, "; ");
}

std::string variant_name(const std::string& key_json, const std::string& shown_json) {
  std::vector<std::string> parts;
  for (const auto& [what, own, shown] : differences_of(key_json, shown_json)) {
    parts.push_back(fmt::format("{}={}", what, short_text(own)));
  }
  return join(parts, ", ");
}

nlohmann::json key_part(const std::string& key_json, const std::string& pointer) {
  const Json key = Json::parse(key_json, nullptr, /*allow_exceptions=*/false);
  const Json::json_pointer part(pointer);
  return key.contains(part) ? key.at(part) : Json();
}

std::string key_without_seed(const std::string& key_json) {
  Json key = Json::parse(key_json, nullptr, /*allow_exceptions=*/false);
  const Json::json_pointer seed("/parameters/seed");
  if (!key.contains(seed)) return key_json;
  key["parameters"].erase("seed");
  return key.dump();
}

}  // namespace kvcomm
