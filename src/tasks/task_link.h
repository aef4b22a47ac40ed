// What ties a lane's rank to the coordinator: over MPI, or within a process.
#pragma once

#include <deque>
#include <vector>

#include "base/clock.h"
#include "comm/communicator.h"
#include "tasks/messages.h"

namespace kvcomm {

class TaskLink {
 public:
  virtual ~TaskLink() = default;

  virtual int rank() const = 0;  // of the world
  virtual Task next() = 0;       // waits for it
  virtual void report(const Report& report) = 0;
};

// world: the coordinator's communicator, on which rank 0 speaks. It must outlive the link. Fails
// (kEnvironment) where rank 0 is not heard of for timeout_s.
class MpiTaskLink : public TaskLink {
 public:
  MpiTaskLink(Communicator& world, Seconds timeout_s) : world_(world), timeout_s_(timeout_s) {}

  int rank() const override { return world_.rank(); }
  Task next() override;
  void report(const Report& report) override;

 private:
  Communicator& world_;
  Seconds timeout_s_;
};

// Tasks that stand ready, and the reports on them. Behind the last task stands kStop.
class LocalTaskLink : public TaskLink {
 public:
  explicit LocalTaskLink(std::deque<Task> tasks) : tasks_(std::move(tasks)) {}

  int rank() const override { return 0; }
  Task next() override;
  void report(const Report& report) override { reports_.push_back(report); }

  const std::vector<Report>& reports() const { return reports_; }

 private:
  std::deque<Task> tasks_;
  std::vector<Report> reports_;
};

}  // namespace kvcomm
