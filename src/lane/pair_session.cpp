#include "lane/pair_session.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>

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
    : config_(config), seat_(seat), lane_(lane), fidelity_(fidelity_of(config)) {}

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
    dataset_ = load_configured_dataset(config_, task.dataset);
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

void PairSession::load_pair(size_t index) {
  const PairConfig& pair = config_.pairs.at(index);
  const std::string sender = model_folder(config_, pair.sender).string();
  const std::string receiver = model_folder(config_, pair.receiver).string();
  const bool new_sender = sender != sender_folder_, new_receiver = receiver != receiver_folder_;
  if (seat_.receives() && (new_sender || new_receiver)) {  // one end speaks for both
    spdlog::info("{}",
                 loading_line(seat_.lane, new_sender ? sender : "", new_receiver ? receiver : ""));
  }
  const auto load = [&](const std::string& folder) {
    try {
      return std::make_shared<const Decoder>(
          folder, scalar_type(config_.run.dtype), seat_.device,
          fidelity_.tie_other_head ? OtherHead::kDropped : OtherHead::kUsed,
          config_.run.prefill_tokens);
    } catch (const c10::Error& error) {
      fail(Exit::kEnvironment, "The model '{}' could not be loaded onto the device {}: {}", folder,
           seat_.device.str(), reason_of(error));
    }
  };
  const auto known = [&](const std::string& folder) {
    return folder == sender_folder_ && sender_.model != nullptr ? sender_
           : folder == receiver_folder_                         ? receiver_
                                                                : Agent();
  };
  Agent for_sender = seat_.sends() ? known(sender) : Agent();
  Agent for_receiver = seat_.receives() ? known(receiver) : Agent();
  const auto text = receiver == receiver_folder_ ? receiver_.text : load_text(receiver);
  // What this pair does not use goes before anything is loaded: there may be no room for both.
  sender_ = receiver_ = {};
  const auto fresh = [&](const std::string& folder) {
    return Agent{.model = load(folder), .prefixes = std::make_shared<PrefixCache>()};
  };
  if (seat_.sends() && for_sender.model == nullptr) for_sender = fresh(sender);
  if (seat_.receives() && for_receiver.model == nullptr) {
    for_receiver = seat_.sends() && sender == receiver ? for_sender : fresh(receiver);
  }
  for_sender.text = for_receiver.text = text;
  sender_ = std::move(for_sender);
  receiver_ = std::move(for_receiver);
  sender_folder_ = sender;
  receiver_folder_ = receiver;
  pair_ = index;
}

// What the sweep's methods send depends on these: they must be the same at both ends. The receiver
// also learns what ends the sender's words.
void PairSession::compare_ends(size_t pair) {
  sender_eos_ =
      make_decoding(own_model(), GeneratedBy::kModel, fidelity_, /*max_new_tokens=*/0).eos;
  for (const int peer : seat_.peers()) compare_with(peer, pair);
}

void PairSession::compare_with(int peer_rank, size_t pair) {
  const ModelConfig& model = own_model();
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
  const std::string peer = fmt::format("rank {} of lane {}", peer_rank, seat_.lane);
  nlohmann::json told = mine;
  told["eos"] = sender_eos_;
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
  if (!seat_.sends()) sender_eos_ = theirs.at("eos").get<std::vector<int64_t>>();
}

const ModelConfig& PairSession::own_model() const {
  return (seat_.sends() ? sender_ : receiver_).model->config();
}

}  // namespace kvcomm
