// What ties the lanes' ranks and the coordinator to each other: over MPI, or within a process.
#pragma once

#include <deque>
#include <functional>
#include <list>
#include <optional>
#include <span>
#include <vector>

#include "base/clock.h"
#include "comm/communicator.h"
#include "comm/heartbeat.h"
#include "tasks/messages.h"

namespace kvcomm {

// A lane's rank's.
class TaskLink {
 public:
  virtual ~TaskLink() = default;

  virtual int rank() const = 0;  // of the world
  // Waits for it, and attends to something else meanwhile.
  virtual Task next(const std::function<void()>& meanwhile) = 0;
  virtual void report(const Report& report) = 0;
};

// The coordinator's.
class LaneLink {
 public:
  virtual ~LaneLink() = default;

  virtual int ranks() const = 0;  // of the world
  // Does not wait for their arrival.
  virtual void send(const Task& task, std::span<const int> to) = 0;
  // Lets tasks that are under way advance; true once all have come.
  virtual bool sent() = 0;
  // The next report, if one is there.
  virtual std::optional<Report> poll() = 0;
  // For how long a rank gave no sign of life.
  virtual Seconds silent_s(int /*rank*/) const { return 0; }
};

// world: the coordinator's communicator, on which rank 0 speaks. It must outlive the link. Fails
// (kEnvironment) where rank 0 is not heard of for timeout_s.
class MpiTaskLink : public TaskLink {
 public:
  MpiTaskLink(Communicator& world, Seconds timeout_s) : world_(world), timeout_s_(timeout_s) {}

  int rank() const override { return world_.rank(); }
  Task next(const std::function<void()>& meanwhile) override;
  void report(const Report& report) override;

 private:
  Communicator& world_;
  Seconds timeout_s_;
};

// world: as above, at rank 0. heartbeat: tied to all other ranks.
class MpiLaneLink : public LaneLink {
 public:
  MpiLaneLink(Communicator& world, const Heartbeat& heartbeat)
      : world_(world), heartbeat_(heartbeat) {}

  int ranks() const override { return world_.size(); }
  void send(const Task& task, std::span<const int> to) override;
  bool sent() override;
  std::optional<Report> poll() override;
  Seconds silent_s(int rank) const override;

 private:
  Communicator& world_;
  const Heartbeat& heartbeat_;
  std::list<Transfer> sends_;  // under way: a blocking one could wait for a lane that waits for us
};

// Tasks that stand ready, and the reports on them. Behind the last task stands kStop.
class LocalTaskLink : public TaskLink {
 public:
  explicit LocalTaskLink(std::deque<Task> tasks) : tasks_(std::move(tasks)) {}

  int rank() const override { return 0; }
  Task next(const std::function<void()>& meanwhile) override;
  void report(const Report& report) override { reports_.push_back(report); }

  const std::vector<Report>& reports() const { return reports_; }

 private:
  std::deque<Task> tasks_;
  std::vector<Report> reports_;
};

}  // namespace kvcomm
