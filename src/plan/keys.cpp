#include "plan/keys.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/hash.h"
#include "method/decoding.h"
#include "score/score.h"

namespace kvcomm {

using Json = nlohmann::json;

namespace {

Json prompt_texts(const Prompts& prompts, const DatasetInfo& info,
                  const std::vector<std::string>& keys) {
  Json texts = Json::object();
  for (const std::string& key : keys) texts[key] = prompts.text(info.name, info.kind, key);
  return texts;
}

// The fields of the fidelity that decide a cell's answers beside its calibration, its resolved
// parameters and its generation key.
Json fidelity_key(const Profile& profile, const Fidelity& fidelity, const PlannedPair& pair) {
  const Json all = values_of(fidelity);
  Json used = Json::object();
  const auto take = [&](const char* field) { used[field] = all.at(field); };
  if (pair.other_head) take("tie_other_head");
  if (fidelity.clean_up_spaces && pair.cleans_up_spaces) take("clean_up_spaces");
  for (const std::string& field : profile.fidelity) used[field] = all.at(field);
  return used;
}

// What decides both importances and answers.
Json common_key(const Plan& plan, const PlannedPair& pair, size_t dataset) {
  const RunConfig& run = plan.config.run;
  return {{"answers_version", kAnswersVersion},
          {"sender", pair.sender_fingerprint},
          {"receiver", pair.receiver_fingerprint},
          {"tokenizer", pair.tokenizer_hash},
          {"chat_template", pair.chat_hash},
          {"dataset", dataset_key(plan.config.datasets[dataset], plan.datasets[dataset])},
          {"dtype", to_text(run.dtype)},
          {"device", plan.device_kind},
          {"max_input_tokens", run.max_input_tokens},
          {"date", run.date}};
}

// Whether all is there that a key is made of.
bool is_whole(const PlannedPair& pair, const Dataset& dataset) {
  return !pair.sender_fingerprint.empty() && !pair.receiver_fingerprint.empty() &&
         pair.has_text() && !dataset.path.empty();
}

// What ends an end's answers and penalises them.
Json generation_key(const ModelConfig& model, GeneratedBy by, const Fidelity& fidelity) {
  const Decoding decoding = make_decoding(model, by, fidelity, /*max_new_tokens=*/0);
  return {{"eos", decoding.eos}, {"repetition_penalty", decoding.repetition_penalty}};
}

}  // namespace

Json dataset_key(const DatasetConfig& named, const Dataset& dataset) {
  Json key{{"name", dataset.info.name}, {"fingerprint", dataset.fingerprint}};
  if (!named.is_own()) return key;
  key["context"] = named.context;
  key["question"] = named.question.value();
  key["answers"] = named.answers.value();
  if (named.id) key["id"] = *named.id;
  key["shuffle"] = named.shuffle.value();
  return key;
}

DatasetConfig dataset_of_key(const Json& key) {
  DatasetConfig named{.name = key.at("name").get<std::string>()};
  if (!key.contains("question")) return named;
  key.at("context").get_to(named.context);
  named.question = key.at("question").get<std::string>();
  named.answers = key.at("answers").get<std::string>();
  if (key.contains("id")) named.id = key.at("id").get<std::string>();
  named.shuffle = key.at("shuffle").get<bool>();
  return named;
}

std::vector<std::string> prompt_keys(const Profile& profile, const PairConfig& pair) {
  std::vector<std::string> keys{"question_suffix", "answer_prefix"};
  if (pair.sender_thinks || pair.receiver_thinks) keys.emplace_back("think_prefix");
  std::ranges::move(profile.prompts(), std::back_inserter(keys));
  return keys;
}

void set_keys(Cell& cell, const Plan& plan, const Prompts& prompts) {
  const Dataset& dataset = plan.datasets[cell.dataset];
  const PairConfig& named = plan.config.pairs[cell.pair];
  const Profile profile = profile_of(cell.spec, plan.fidelity);
  const Json texts = prompt_texts(prompts, dataset.info, prompt_keys(profile, named));
  if (!is_whole(plan.pairs[cell.pair], dataset)) return;
  Json common = common_key(plan, plan.pairs[cell.pair], cell.dataset);
  if (named.sender_thinks) common["sender_thinks"] = true;
  if (named.receiver_thinks) common["receiver_thinks"] = true;
  if (profile.calibration_samples > 0) {
    Json key = common;
    const Json all = values_of(plan.fidelity);
    key["fidelity"] = {{"importance_from", all.at("importance_from")},
                       {"importance_mask", all.at("importance_mask")}};
    key["prompts"] = texts;
    key["calibration_samples"] = cell.calibration_samples = profile.calibration_samples;
    cell.calibration_key_json = key.dump();
    cell.calibration_key = hash128_hex(cell.calibration_key_json);
  }
  Json key = common;
  const PlannedPair& pair = plan.pairs[cell.pair];
  key["fidelity"] = fidelity_key(profile, plan.fidelity, pair);
  key["prompts"] = texts;
  key["method"] = cell.spec.name;
  key["parameters"] = Json(cell.spec.resolved);
  key["metric"] = dataset.info.metric;
  key["normalisation"] = normalisation_name(dataset.info.metric);
  if (const std::string lemmas = lemmas_fingerprint(dataset.info.metric); !lemmas.empty()) {
    key["lemmas"] = lemmas;
  }
  key["max_new_tokens"] = max_new_tokens(plan.config.datasets[cell.dataset], dataset.info);
  key["calibration"] = cell.calibration_key;
  const bool by_sender = profile.answers_at == End::kSender;
  key["generation"] = generation_key(by_sender ? pair.sender_config : pair.receiver_config,
                                     profile.generated_by, plan.fidelity);
  if (profile.refines) {
    key["sender_generation"] =
        generation_key(pair.sender_config, GeneratedBy::kModel, plan.fidelity);
  }
  cell.key_json = key.dump();
  cell.key = hash128_hex(cell.key_json);
}

}  // namespace kvcomm
