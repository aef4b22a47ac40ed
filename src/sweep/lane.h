// A lane: a sender and a receiver that work through tasks batch by batch and cell by cell. Each end
// runs the same loop over its own part; in a world of one both parts run here, one after the other.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/channel.h"
#include "comm/communicator.h"
#include "comm/nccl_link.h"
#include "method/method.h"
#include "sweep/config.h"
#include "sweep/messages.h"
#include "sweep/plan.h"

namespace kvcomm {

enum class Role { kSender, kReceiver, kBoth };

// Where a rank stands in its lane, and with what.
struct LanePlace {
  int lane = 0;
  Role role = Role::kBoth;
  int peer = 0;  // the other end's rank in the lane's communicator
  at::Device device = at::kCPU;
  std::string transport;  // "loopback" | "mpi" | "nccl"
};

class Lane {
 public:
  // world: the coordinator's communicator, on which rank 0 speaks; lane: this lane's own. They must
  // outlive it.
  Lane(const Config& config, LanePlace place, Communicator& world, Communicator& lane);

  // Works until the coordinator says stop. Throws when the two ends are out of step (kIntegrity,
  // kEnvironment): the job cannot go on then.
  void run();

 private:
  bool sends() const { return place_.role != Role::kReceiver; }
  bool receives() const { return place_.role != Role::kSender; }
  bool answers(const Method& method) const;

  Task next_task();
  void prepare(const Task& task);
  void load_pair(size_t pair);
  void compare_ends(size_t pair);
  void run_task(const Task& task);
  void calibrate(const Task& task);
  std::vector<std::vector<const Sample*>> batches(const Task& task) const;

  void send_part(const Method& method, Batch& batch);
  void answer_part(const Task& task, const TaskCell& cell, const Method& method, Batch& batch);
  std::vector<SampleRow> rows_of(const TaskCell& cell, const Method& method,
                                 const Batch& batch) const;
  void fill_answers(std::vector<SampleRow>& rows, std::vector<Request> requests,
                    const TaskCell& cell, Batch& batch);
  void count_wire(Seconds all_s, const Work& model, Seconds wait_s);
  void decline(const Method& method, const Batch& batch, const std::string& reason);
  Setting setting(const Agent& agent) const;
  int64_t model_layers() const;
  std::vector<Channel*> wires() const;
  void report(const Report& report);
  RankRecord so_far() const;

  const Config& config_;
  LanePlace place_;
  Communicator& world_;
  Communicator& lane_;
  std::unique_ptr<NcclLink> link_;  // where the transport is NCCL: outlives the channels
  std::unique_ptr<Channel> outgoing_, incoming_;  // this end's, or both in a world of one

  std::optional<size_t> pair_, dataset_index_;
  std::string sender_folder_, receiver_folder_;  // of the models that are loaded
  Agent sender_, receiver_;
  std::vector<int64_t> sender_eos_;  // what ends the sender's words
  std::optional<Dataset> dataset_;
  std::optional<Prompter> prompter_;
  std::vector<std::vector<int64_t>> heads_;  // the prompter's, where they are read once
  Fidelity fidelity_;
  RankRecord busy_;  // seconds by phase
  Stopwatch life_;
};

}  // namespace kvcomm
