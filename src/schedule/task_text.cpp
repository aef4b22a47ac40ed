#include "schedule/task_text.h"

#include "base/error.h"

namespace kvcomm {

namespace {

std::string methods_text(const Task& task) {
  const std::string first = task.cells.front().spec.label();
  const size_t others = task.cells.size() - 1;
  if (others == 0) return first;
  return fmt::format("{} and {} more method{}", first, others, others == 1 ? "" : "s");
}

std::string work_text(const Plan& plan, const Task& task) {
  if (task.kind == Task::Kind::kLoad) return "the loading of its models";
  const std::string samples =
      fmt::format("{} sample{} of {}", task.samples.size(), task.samples.size() == 1 ? "" : "s",
                  plan.datasets[task.dataset].info.name);
  if (task.kind == Task::Kind::kCalibrate) return "a calibration on " + samples;
  return samples + " by " + methods_text(task);
}

}  // namespace

std::string task_text(const Plan& plan, const Task& task) {
  return fmt::format("{} (pair {})", work_text(plan, task), plan.config.pairs[task.pair].name);
}

}  // namespace kvcomm
