#include "doctor/look.h"

#include <chrono>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <stop_token>
#include <utility>

namespace kvcomm::doctor {

namespace {

using std::chrono::duration;

Seen failed(const Look& look, const std::string& found) {
  return {
      .check = {.name = look.name, .status = Status::kFailed, .found = found, .cure = look.cure}};
}

Seen looked(const Look& look) {
  try {
    Seen seen = look.look();
    seen.check.name = look.name;
    return seen;
  } catch (const std::exception& error) {
    return failed(look, error.what());
  }
}

}  // namespace

std::vector<Seen> look_at(std::vector<Look> looks) {
  const Stopwatch watch;
  std::vector<std::future<Seen>> running;
  for (const Look& look : looks) {
    std::packaged_task<Seen()> task([look] { return looked(look); });
    running.push_back(task.get_future());
    std::thread(std::move(task)).detach();
  }
  std::vector<Seen> seen;
  for (size_t i = 0; i < looks.size(); ++i) {
    const duration<double> left(looks[i].timeout_s - watch.elapsed_s());
    const bool ended = running[i].wait_for(left) == std::future_status::ready;
    seen.push_back(ended ? running[i].get()
                         : failed(looks[i], fmt::format("It did not end within {:.0f} s.",
                                                        looks[i].timeout_s)));
  }
  return seen;
}

std::jthread watchdog(Seconds timeout_s, std::function<void()> bark) {
  return std::jthread([timeout_s, bark = std::move(bark)](const std::stop_token& over) {
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable_any wake;
    wake.wait_for(lock, over, duration<double>(timeout_s), [] { return false; });
    if (!over.stop_requested()) bark();
  });
}

}  // namespace kvcomm::doctor
