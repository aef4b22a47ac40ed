#include "lane/pair_session.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "lane/announce.h"
#include "lane/failures.h"
#include "lane/topology.h"
#include "model/device_watch.h"

namespace kvcomm {

namespace {

constexpr int kHandshakeTag = 16;  // on the lane's communicator, beside the pipes' own

}  // namespace

PairSession::PairSession(const Config& config, const Seat& seat, Communicator* lane)
    : config_(config),
      seat_(seat),
      lane_(lane),
      fidelity_(fidelity_of(config)),
      energy_(std::make_shared<EnergyMeter>(seat.gpu)) {
  if (seat.lane == 0 && seat.receives() && !energy_->silence().empty()) {
    spdlog::info("{}", energy_->silence());
  }
}

double PairSession::flops() const {
  double flops = unloaded_flops_;
  for (const auto& [folder, agent] : loaded_) flops += agent.model->ran().all;
  return flops;
}

Seconds PairSession::prepare(const Task& task) {
  const bool new_pair = is_new_pair(task);
  Seconds load_s = 0;
  if (new_pair) {
    const DeviceWatch watch(seat_.device);
    load_pair(task.pair);
    load_s = watch.elapsed_s();
    compare_ends(task.pair);
  }
  if (new_pair || dataset_index_ != task.dataset) {
    dataset_ = load_configured_dataset(config_, task.dataset, senders_of(config_));
    dataset_index_ = task.dataset;
    prompt_builder_.emplace(
        make_prompt_builder(config_, config_.pairs.at(task.pair), dataset_->info, receiver_.text));
    terms_.emplace(Terms{.prompt_builder = *prompt_builder_,
                         .fidelity = fidelity_,
                         .max_new_tokens = max_new_tokens(dataset_config(), dataset_->info),
                         .sender_eos = sender_eos_});
    if (config_.run.reuse_prefixes) terms_->heads = prompt_builder_->heads();
  }
  if (dataset_->fingerprint != task.dataset_fingerprint) {
    fail(Exit::kUsage,
         "'{}' is not the file that rank 0 planned with (its fingerprint is {}, not {}): it "
         "changed, or this node sees another one.",
         dataset_->path.string(), dataset_->fingerprint, task.dataset_fingerprint);
  }
  return load_s;
}

std::shared_ptr<const Decoder> PairSession::load(const std::string& folder) const {
  try {
    return std::make_shared<const Decoder>(folder, scalar_type(config_.run.dtype), seat_.device,
                                           other_head(fidelity_), config_.run.prefill_tokens);
  } catch (const c10::Error& error) {
    fail(Exit::kEnvironment, "The model '{}' could not be loaded onto the device {}: {}", folder,
         seat_.device.str(), reason_of(error));
  }
}

void PairSession::load_pair(size_t index) {
  const PairConfig& pair = config_.pairs.at(index);
  std::vector<std::string> senders;
  for (const std::string& sender : pair.senders) {
    senders.push_back(model_folder(config_, sender).string());
  }
  const std::string receiver = model_folder(config_, pair.receiver).string();
  const auto text = receiver == receiver_folder_ ? receiver_.text : load_text(receiver);
  std::set<std::string> wanted;
  for (const size_t played : seat_.plays_senders()) wanted.insert(senders[played]);
  if (seat_.receives()) wanted.insert(receiver);
  // What this pair does not use goes before anything is loaded: there may be no room for both.
  senders_.clear();
  receiver_ = {};
  std::erase_if(loaded_, [&](const auto& model) {
    if (wanted.contains(model.first)) return false;
    unloaded_flops_ += model.second.model->ran().all;
    return true;
  });
  if (seat_.receives()) log_loading(senders, receiver);
  for (const std::string& folder : wanted) {
    if (loaded_.contains(folder)) continue;
    loaded_[folder] = {.model = load(folder),
                       .text = nullptr,
                       .prefixes = std::make_shared<PrefixCache>(),
                       .energy = energy_};
  }
  const auto agent = [&](const std::string& folder) {
    Agent found = loaded_.contains(folder) ? loaded_.at(folder) : Agent();
    found.text = text;
    return found;
  };
  for (const std::string& folder : senders) senders_.push_back(agent(folder));
  receiver_ = agent(receiver);
  receiver_folder_ = receiver;
  sender_folders_ = std::move(senders);
  pair_ = index;
}

// One end speaks for all.
void PairSession::log_loading(const std::vector<std::string>& senders,
                              const std::string& receiver) const {
  std::vector<std::string> fresh;
  for (const std::string& sender : senders) {
    const bool known = std::ranges::count(sender_folders_, sender) > 0;
    if (!known && std::ranges::count(fresh, sender) == 0) fresh.push_back(sender);
  }
  const std::string fresh_receiver = receiver == receiver_folder_ ? "" : receiver;
  if (fresh.empty() && fresh_receiver.empty()) return;
  spdlog::info("{}", loading_line(seat_.lane, fresh, fresh_receiver));
}

// What the sweep's methods send depends on these: they must be the same at both ends. The receiver
// also learns what ends each sender's words.
void PairSession::compare_ends(size_t pair) {
  sender_eos_.assign(senders_.size(), {});
  for (const size_t played : seat_.plays_senders()) sender_eos_[played] = eos_of(senders_[played]);
  for (const int peer : seat_.peers()) compare_with(peer, pair);
}

// The ids that end what an agent's model says.
std::vector<int64_t> PairSession::eos_of(const Agent& agent) const {
  return make_decoding(agent.model->config(), GeneratedBy::kModel, fidelity_, /*max_new_tokens=*/0)
      .eos;
}

void PairSession::compare_with(int peer_rank, size_t pair) {
  const ModelConfig& model = own_agent().model->config();
  nlohmann::json mine = {{"wire version", kWireVersion},
                         {"dtype", to_text(config_.run.dtype)},
                         {"tokenizer", receiver_.text->tokenizer.hash()}};
  const bool one_shape = std::ranges::any_of(config_.methods, [&](const MethodSpec& method) {
    return profile_of(method, fidelity_).needs_equal_shapes;
  });
  if (one_shape) {
    mine["layers"] = model.layers;
    mine["KV heads"] = model.kv_heads;
    mine["head size"] = model.head_dim;
  }
  const std::string& peer = seat_.names.at(static_cast<size_t>(peer_rank));
  nlohmann::json told = mine;
  told["eos"] = eos_of(own_agent());
  lane_->send(told.dump(), peer_rank, kHandshakeTag,
              {config_.run.timeout_s, "the sending of the handshake", peer});
  const nlohmann::json theirs = nlohmann::json::parse(
      lane_->receive(peer_rank, kHandshakeTag, {config_.run.timeout_s, "the handshake", peer})
          .bytes);
  for (const auto& [what, value] : mine.items()) {
    if (theirs.at(what) != value) {
      fail(Exit::kIntegrity,
           "Pair '{}': the two ends of lane {} differ in their {}: {} here, {} at {}.",
           config_.pairs[pair].name, seat_.lane, what, value.dump(), theirs.at(what).dump(), peer);
    }
  }
  // In a lane a sender's rank is its number.
  if (!seat_.sends()) theirs.at("eos").get_to(sender_eos_.at(static_cast<size_t>(peer_rank)));
}

const Agent& PairSession::own_agent() const {
  return seat_.receives() ? receiver_ : senders_[static_cast<size_t>(seat_.sender)];
}

}  // namespace kvcomm
