// A lane: a sender and a receiver that work through tasks batch by batch and cell by cell. Each end
// runs the same loop over its own part; in a world of one both parts run here, one after the other.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "comm/channel.h"
#include "comm/communicator.h"
#include "comm/nccl_link.h"
#include "config/config.h"
#include "lane/pair_session.h"
#include "lane/seat.h"
#include "method/method.h"
#include "tasks/task_link.h"

namespace kvcomm {

class Lane {
 public:
  // lane: the communicator of the lane's ends; null where one process plays both. All must outlive
  // it.
  Lane(const Config& config, Seat seat, TaskLink& tasks, Communicator* lane);
  Lane(const Lane&) = delete;  // its session refers to its seat
  Lane& operator=(const Lane&) = delete;

  // Works until the coordinator says stop. Throws when the two ends are out of step (kIntegrity,
  // kEnvironment): the job cannot go on then.
  void run();

 private:
  bool answers(End end) const;

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
  std::vector<Channel*> wires() const;
  void report(const Report& report);
  RankRecord so_far() const;

  const Config& config_;
  Seat seat_;
  TaskLink& tasks_;
  std::unique_ptr<NcclLink> link_;  // where the transport is NCCL: outlives the channels
  std::unique_ptr<Channel> outgoing_, incoming_;  // this end's, or both in a world of one

  PairSession session_;
  Fidelity fidelity_;
  RankRecord busy_;  // seconds by phase
  Stopwatch life_;
};

}  // namespace kvcomm
