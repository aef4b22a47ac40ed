// The pair and the data set at hand: a rank's models, its samples and their prompts, kept as long
// as tasks stay with them.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "config/config.h"
#include "lane/seat.h"
#include "method/batch.h"
#include "plan/plan.h"
#include "tasks/messages.h"

namespace kvcomm {

class PairSession {
 public:
  // lane: the communicator of the lane's ends; null where one process plays both. All must outlive
  // it.
  PairSession(const Config& config, const Seat& seat, Communicator* lane);

  bool is_new_pair(const Task& task) const { return pair_ != task.pair; }

  // Makes ready for a task; returns the seconds that loading models took. At a new pair the lane's
  // ends compare what the wire depends on. Fails (kUsage) where the data set's file is not the one
  // that rank 0 planned with, (kIntegrity) where the ends differ.
  Seconds prepare(const Task& task);

  // Those that this rank does not play have no model.
  const Agent& sender(size_t index) const { return senders_.at(index); }
  const Agent& receiver() const { return receiver_; }
  const Dataset& dataset() const { return *dataset_; }
  const DatasetConfig& dataset_config() const { return config_.datasets[*dataset_index_]; }
  const PromptBuilder& prompts() const { return *prompt_builder_; }
  int64_t model_layers() const { return own_agent().model->config().layers; }

  const Terms& terms() const { return *terms_; }

  // What this rank's models have run since it began.
  double flops() const;
  EnergyMeter& energy() const { return *energy_; }

 private:
  const Agent& own_agent() const;  // this rank's, the receiver where it plays all
  std::vector<int64_t> eos_of(const Agent& agent) const;
  void log_loading(const std::vector<std::string>& senders, const std::string& receiver) const;
  void load_pair(size_t pair);
  std::shared_ptr<const Decoder> load(const std::string& folder) const;
  void compare_ends(size_t pair);
  void compare_with(int peer, size_t pair);

  const Config& config_;
  const Seat& seat_;
  Communicator* lane_;
  Fidelity fidelity_;
  std::optional<size_t> pair_, dataset_index_;
  std::map<std::string, Agent> loaded_;      // this rank's models, by folder: each once
  double unloaded_flops_ = 0;                // of those that it had before
  std::shared_ptr<EnergyMeter> energy_;      // this rank's
  std::vector<std::string> sender_folders_;  // of the pair
  std::string receiver_folder_;
  std::vector<Agent> senders_;
  Agent receiver_;
  std::vector<std::vector<int64_t>> sender_eos_;  // what ends the words of each
  std::optional<Dataset> dataset_;
  std::optional<PromptBuilder> prompt_builder_;
  std::optional<Terms> terms_;
};

}  // namespace kvcomm
