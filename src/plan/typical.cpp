#include "plan/typical.h"

#include <toml++/toml.h>
#include <algorithm>
#include <fstream>
#include <sstream>

#include "base/error.h"
#include "base/files.h"
#include "plan/typical_toml.h"

namespace kvcomm {

namespace fs = std::filesystem;

namespace {

const toml::table& typical() {
  static const toml::table table = toml::parse(kTypicalToml, std::string_view("typical.toml"));
  return table;
}

const toml::table* typical_config(const std::string& model) {
  for (const toml::node& entry : *typical()["models"].as_array()) {
    const toml::table& models = *entry.as_table();
    for (const toml::node& name : *models["names"].as_array()) {
      if (name.value<std::string>() == model) return models["config"].as_table();
    }
  }
  return nullptr;
}

// The folder that stands for a model, which it makes.
std::string supply_model(const std::string& model, const fs::path& folder) {
  const toml::table* config = typical_config(model);
  if (config == nullptr) {
    fail(Exit::kUsage,
         "'{}' has no config.json, and its shape is not known otherwise: `launch/fetch/models.py "
         "{}` fetches it; its config.json alone will do.",
         model, model);
  }
  const fs::path made = folder / model;
  fs::create_directories(made);
  std::ostringstream text;
  text << toml::json_formatter{*config};
  write_file_atomic(made / "config.json", text.str());
  return made.string();
}

// From half the mean to half more, evenly.
size_t length(size_t mean, size_t index, size_t count) {
  return mean / 2 + mean * index / std::max<size_t>(count, 1);
}

}  // namespace

std::vector<std::string> supply_models(Config& config, const fs::path& folder) {
  std::vector<std::string> supplied;
  const auto supply = [&](std::string& model) {
    if (fs::exists(model_folder(config, model) / "config.json")) return;
    if (std::ranges::count(supplied, model) == 0) supplied.push_back(model);
    model = supply_model(model, folder);
  };
  for (PairConfig& pair : config.pairs) {
    std::ranges::for_each(pair.senders, supply);
    supply(pair.receiver);
  }
  return supplied;
}

std::vector<std::string> supply_samples(Plan& plan) {
  std::vector<std::string> supplied;
  const size_t senders = senders_of(plan.config);
  for (Dataset& dataset : plan.datasets) {
    if (!dataset.path.empty()) continue;
    const std::string& name = dataset.info.name;
    const toml::table* means = typical()["datasets"][name].as_table();
    if (means == nullptr) {
      fail(Exit::kUsage,
           "The data set '{}' is not there, and its lengths are not known otherwise: `{}` fetches "
           "it.",
           name, fetch_command(dataset.info, plan.config.paths.data));
    }
    const auto mean = [&](const char* of) { return (*means)[of].value<size_t>().value(); };
    const size_t count = published_samples(dataset.info);
    for (size_t i = 0; i < count; ++i) {
      const std::string context(length(mean("context"), i, count), 'x');
      dataset.samples.push_back({.index = static_cast<uint32_t>(i),
                                 .id = std::to_string(i),
                                 .contexts = std::vector<std::string>(
                                     senders, context.substr(0, context.size() / senders)),
                                 .question = std::string(length(mean("question"), i, count), 'x'),
                                 .answers = {"x"},
                                 .whole = context});
    }
    dataset.path = "typical.toml";
    supplied.push_back(name);
  }
  return supplied;
}

}  // namespace kvcomm
