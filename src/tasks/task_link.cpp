#include "tasks/task_link.h"

namespace kvcomm {

Task MpiTaskLink::next(const std::function<void()>& meanwhile) {
  std::optional<Received> received;
  Deadline(timeout_s_, "the next task", "rank 0's coordinator").require([&] {
    meanwhile();
    return (received = world_.poll(kTaskTag, 0)).has_value();
  });
  return decode_task(received->bytes);
}

void MpiTaskLink::report(const Report& report) {
  world_.send(encode(report), 0, kReportTag,
              {timeout_s_, "the sending of a report", "rank 0's coordinator"});
}

void MpiLaneLink::send(const Task& task, std::span<const int> to) {
  const auto bytes = std::make_shared<const std::string>(encode(task));
  for (const int rank : to) {
    sends_.push_back(world_.start_send(std::as_bytes(std::span(*bytes)), bytes, rank, kTaskTag));
  }
}

bool MpiLaneLink::sent() {
  sends_.remove_if([](Transfer& transfer) { return transfer.done(); });
  return sends_.empty();
}

std::optional<Report> MpiLaneLink::poll() {
  const auto received = world_.poll(kReportTag);
  if (!received) return std::nullopt;
  return decode_report(received->bytes);
}

Seconds MpiLaneLink::silent_s(int rank) const {
  return rank == world_.rank() ? 0 : heartbeat_.silent_s(rank);
}

Task LocalTaskLink::next(const std::function<void()>& /*meanwhile*/) {
  if (tasks_.empty()) return {.kind = Task::Kind::kStop};
  Task task = std::move(tasks_.front());
  tasks_.pop_front();
  return task;
}

}  // namespace kvcomm
