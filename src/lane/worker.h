// A rank's part of a lane: works through tasks batch by batch and cell by cell, each exchange by
// the ends that this rank plays. In a world of one both are here and take turns.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "comm/communicator.h"
#include "comm/faults.h"
#include "comm/heartbeat.h"
#include "comm/open_ends.h"
#include "config/config.h"
#include "lane/answering_end.h"
#include "lane/pair_session.h"
#include "lane/seat.h"
#include "lane/sending_end.h"
#include "model/memory.h"
#include "tasks/task_link.h"

namespace kvcomm {

class Worker {
 public:
  // faults: what is to go wrong. lane: the communicator of the lane's ends; heartbeat: tied to its
  // other ends. Both are null where one process plays all. All must outlive it.
  Worker(const Config& config, Seat seat, TaskLink& tasks, Faults& faults, Communicator* lane,
         const Heartbeat* heartbeat = nullptr);
  Worker(const Worker&) = delete;  // its session refers to its seat
  Worker& operator=(const Worker&) = delete;

  // Works until the coordinator says stop. Throws when the two ends are out of step (kIntegrity,
  // kEnvironment): the job cannot go on then.
  void run();

 private:
  struct Batches;

  void open_pipes(Communicator* lane, const Heartbeat* heartbeat);
  Task next_task();
  void work(const Task& task);
  void run_task(const Task& task);
  void run_cell(const Task& task, const TaskCell& cell, Batches& batches);
  void calibrate(const Task& task);
  void run_online(const Task& task);
  std::optional<std::vector<int>> choose_layers(const Task& task);
  std::optional<std::vector<int>> hear_layers(Batch& batch, ReceiveEnd& back);
  void report_lost(const Task& task, const Report& failed);
  std::vector<std::vector<const Sample*>> batches_of(const Task& task) const;
  bool answers(End end) const;
  void send(const Method& method, std::span<Batch> batches, const MethodSpec* control = nullptr);
  void attend();
  void flush();
  // Runs `work` and adds what models ran in it.
  void counting(double& flops, const std::function<void()>& work);
  void report(Report report);
  RankRecord so_far() const;

  const Config& config_;
  Seat seat_;
  TaskLink& tasks_;
  Faults& faults_;
  PairSession session_;
  Fidelity fidelity_;
  MemoryWatch memory_;
  RankRecord busy_;  // seconds by phase, and what its models ran
  Stopwatch life_;
  // One a peer; in a world of one, one with both ends a sender.
  std::vector<PipeEnds> pipes_, return_pipes_;
  std::vector<SendingEnd> sending_;  // one a sender that this rank plays
  std::optional<AnsweringEnd> answering_;
};

}  // namespace kvcomm
