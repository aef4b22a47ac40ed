// The pair and the data set at hand: a rank's models, its samples and their prompts, kept as long
// as tasks stay with them.
#pragma once

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

  const Agent& sender() const { return sender_; }
  const Agent& receiver() const { return receiver_; }
  const Dataset& dataset() const { return *dataset_; }
  const DatasetConfig& dataset_config() const { return config_.datasets[*dataset_index_]; }
  const PromptBuilder& prompts() const { return *prompt_builder_; }
  int64_t model_layers() const { return own_model().layers; }

  const Terms& terms() const { return *terms_; }

 private:
  const ModelConfig& own_model() const;  // this rank's, the sender's where it plays both
  void load_pair(size_t pair);
  void compare_ends(size_t pair);
  void compare_with(int peer, size_t pair);

  const Config& config_;
  const Seat& seat_;
  Communicator* lane_;
  Fidelity fidelity_;
  std::optional<size_t> pair_, dataset_index_;
  std::string sender_folder_, receiver_folder_;  // of the models that are loaded
  Agent sender_, receiver_;
  std::vector<int64_t> sender_eos_;  // what ends the sender's words
  std::optional<Dataset> dataset_;
  std::optional<PromptBuilder> prompt_builder_;
  std::optional<Terms> terms_;
};

}  // namespace kvcomm
