#include "config/hardware.h"

#include <toml++/toml.h>

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "base/text.h"

namespace kvcomm {

namespace {

struct NamedRate {
  const char* name;
  double Hardware::*rate;
};
constexpr NamedRate kRates[] = {{"flops_per_s", &Hardware::flops_per_s},
                                {"bytes_per_s", &Hardware::bytes_per_s},
                                {"step_s", &Hardware::step_s},
                                {"load_bytes_per_s", &Hardware::load_bytes_per_s},
                                {"wire_bytes_per_s", &Hardware::wire_bytes_per_s}};

double positive(const toml::table& table, const std::filesystem::path& file, const char* name) {
  const auto value = table[name].value<double>();
  if (value && *value > 0) return *value;
  fail(Exit::kUsage, "'{}' must give {} as a number above 0.", file.string(), name);
}

void refuse_unknown(const toml::table& table, const std::filesystem::path& file) {
  std::vector<std::string> known{"name", "source", "device", "memory_bytes"};
  for (const NamedRate& rate : kRates) known.emplace_back(rate.name);
  for (const auto& [key, value] : table) {
    if (std::ranges::count(known, key.str()) > 0) continue;
    fail(Exit::kUsage, "'{}' has an unknown key '{}'.{} Known: {}.", file.string(), key.str(),
         did_you_mean(std::string(key.str()), known), join(known, ", "));
  }
}

}  // namespace

Hardware load_hardware(const std::filesystem::path& file) {
  try {
    const toml::table table = toml::parse_file(file.string());
    refuse_unknown(table, file);
    Hardware hardware{.name = table["name"].value_or(file.stem().string()),
                      .source = table["source"].value_or(file.string())};
    for (const NamedRate& rate : kRates) hardware.*rate.rate = positive(table, file, rate.name);
    hardware.memory_bytes = static_cast<int64_t>(positive(table, file, "memory_bytes"));
    hardware.device = table["device"].value_or(std::string("cuda"));
    if (hardware.device == "cuda" || hardware.device == "cpu") return hardware;
    fail(Exit::kUsage, "'{}' has device = \"{}\": use \"cuda\" or \"cpu\".", file.string(),
         hardware.device);
  } catch (const toml::parse_error& error) {
    fail(Exit::kUsage, "'{}' is not read as TOML: {} (line {}).", file.string(),
         error.description(), error.source().begin.line);
  }
}

const Hardware& rough_hardware(const std::string& device_kind) {
  static const Hardware gpu{.name = "a GPU",
                            .source = "a guess",
                            .flops_per_s = 4e14,
                            .bytes_per_s = 3e12,
                            .step_s = 4e-3,
                            .load_bytes_per_s = 2e9,
                            .wire_bytes_per_s = 1e11};
  static const Hardware cpu{.name = "a CPU",
                            .source = "a guess",
                            .flops_per_s = 1e11,
                            .bytes_per_s = 1.5e10,
                            .step_s = 1e-3,
                            .load_bytes_per_s = 1e9,
                            .wire_bytes_per_s = 4e9,
                            .device = "cpu"};
  return device_kind == "cpu" ? cpu : gpu;
}

}  // namespace kvcomm
