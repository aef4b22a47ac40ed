#include "plan/keys.h"

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

#include "base/hash.h"
#include "method/decoding.h"
#include "score/score.h"

namespace kvcomm {

using Json = nlohmann::json;

namespace {

Json prompt_texts(const Prompts& prompts, const DatasetInfo& info,
                  const std::vector<std::string>& keys) {
  const auto of = [&](const std::string& dataset) {
    Json texts = Json::object();
    for (const std::string& key : keys) texts[key] = prompts.text(dataset, info.kind, key);
    return texts;
  };
  const std::vector<std::string> parts = parts_of_mix(info.name);
  if (parts.empty()) return of(info.name);
  Json texts = Json::object();
  for (const std::string& part : parts) texts[part] = of(part);
  return texts;
}

// One value where there is one sender, as keys have it that know no others.
template <typename Of>
Json of_senders(const PlannedPair& pair, Of&& of) {
  if (pair.senders.size() == 1) return of(pair.senders.front());
  Json all = Json::array();
  for (const PlannedModel& sender : pair.senders) all.push_back(of(sender));
  return all;
}

// The fields of the fidelity that decide a cell's answers beside its calibration, its resolved
// parameters and its generation key.
Json fidelity_key(const Profile& profile, const Fidelity& fidelity, const PlannedPair& pair) {
  const Json all = values_of(fidelity);
  Json used = Json::object();
  std::vector<std::string> fields =
      deciding_fields(fidelity, pair.other_head, pair.cleans_up_spaces);
  fields.insert(fields.end(), profile.fidelity.begin(), profile.fidelity.end());
  for (const std::string& field : fields) used[field] = all.at(field);
  return used;
}

// What decides both importances and answers.
Json common_key(const Plan& plan, const PlannedPair& pair, size_t dataset) {
  const RunConfig& run = plan.config.run;
  return {{"answers_version", kAnswersVersion},
          {"sender", of_senders(pair, std::mem_fn(&PlannedModel::fingerprint))},
          {"receiver", pair.receiver.fingerprint},
          {"tokenizer", pair.tokenizer_hash},
          {"chat_template", pair.chat_hash},
          {"dataset",
           dataset_key(plan.config.datasets[dataset], plan.datasets[dataset], pair.senders.size())},
          {"dtype", to_text(run.dtype)},
          {"device", plan.device_kind},
          {"max_input_tokens", run.max_input_tokens},
          {"date", run.date}};
}

// Whether all is there that a key is made of.
bool is_whole(const PlannedPair& pair, const Dataset& dataset) {
  const auto hashed = [](const PlannedModel* model) { return !model->fingerprint.empty(); };
  return std::ranges::all_of(pair.models(), hashed) && pair.has_text() && !dataset.path.empty();
}

// What ends an end's answers and penalises them.
Json generation_key(const ModelConfig& model, GeneratedBy by, const Fidelity& fidelity) {
  const Decoding decoding = make_decoding(model, by, fidelity, /*max_new_tokens=*/0);
  return {{"eos", decoding.eos}, {"repetition_penalty", decoding.repetition_penalty}};
}

}  // namespace

Json dataset_key(const DatasetConfig& named, const Dataset& dataset, size_t senders) {
  Json key{{"name", dataset.info.name}, {"fingerprint", dataset.fingerprint}};
  if (senders > 1) key["senders"] = senders;
  if (!named.is_own() && named.shuffle.value_or(false)) key["shuffle"] = true;
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
  const bool is_own = key.contains("question");
  if (is_own || key.contains("shuffle")) named.shuffle = key.at("shuffle").get<bool>();
  if (!is_own) return named;
  key.at("context").get_to(named.context);
  named.question = key.at("question").get<std::string>();
  named.answers = key.at("answers").get<std::string>();
  if (key.contains("id")) named.id = key.at("id").get<std::string>();
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
  if (!named.think_end.empty()) common["think_end"] = named.think_end;
  if (profile.calibration_samples > 0) {
    Json key = common;
    const Json all = values_of(plan.fidelity);
    key["fidelity"] = {{"importance_from", all.at("importance_from")},
                       {"importance_mask", all.at("importance_mask")}};
    key["prompts"] = texts;
    key["calibration_samples"] = profile.calibration_samples;
    if (cell.calibration_from > 0) key["calibration_from"] = cell.calibration_from;
    cell.calibration_key_json = key.dump();
    cell.calibration_key = hash128_hex(cell.calibration_key_json);
  }
  Json key = common;
  const PlannedPair& pair = plan.pairs[cell.pair];
  key["fidelity"] = fidelity_key(profile, plan.fidelity, pair);
  key["prompts"] = texts;
  key["method"] = cell.spec.name;
  key["parameters"] = Json(keyed_parameters(cell.spec));
  key["metric"] = dataset.info.metric;
  key["normalisation"] = normalisation_name(dataset.info.metric);
  if (const std::string lemmas = lemmas_fingerprint(dataset.info.metric); !lemmas.empty()) {
    key["lemmas"] = lemmas;
  }
  key["max_new_tokens"] = max_new_tokens(plan.config.datasets[cell.dataset], dataset.info);
  key["calibration"] = cell.calibration_key;
  const bool by_sender = profile.answers_at == End::kSender;
  const PlannedModel& answering = by_sender ? pair.senders.front() : pair.receiver;
  key["generation"] = generation_key(answering.config, profile.generated_by, plan.fidelity);
  if (profile.refines) {
    key["sender_generation"] = of_senders(pair, [&](const PlannedModel& sender) {
      return generation_key(sender.config, GeneratedBy::kModel, plan.fidelity);
    });
  }
  cell.key_json = key.dump();
  cell.key = hash128_hex(cell.key_json);
}

}  // namespace kvcomm
