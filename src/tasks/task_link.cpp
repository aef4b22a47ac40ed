#include "tasks/task_link.h"

namespace kvcomm {

Task MpiTaskLink::next() {
  return decode_task(
      world_.receive(0, kTaskTag, {timeout_s_, "the next task", "rank 0's coordinator"}).bytes);
}

void MpiTaskLink::report(const Report& report) {
  world_.send(encode(report), 0, kReportTag,
              {timeout_s_, "the sending of a report", "rank 0's coordinator"});
}

Task LocalTaskLink::next() {
  if (tasks_.empty()) return {.kind = Task::Kind::kStop};
  Task task = std::move(tasks_.front());
  tasks_.pop_front();
  return task;
}

}  // namespace kvcomm
