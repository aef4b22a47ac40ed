#include "model/memory.h"

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <algorithm>
#include <array>
#include <unordered_map>

namespace kvcomm {

namespace {

thread_local MemoryUse use_now = MemoryUse::kActivations;

}  // namespace

MemoryScope::MemoryScope(MemoryUse use) : before_(use_now) { use_now = use; }
MemoryScope::~MemoryScope() { use_now = before_; }

class MemoryWatch::Report : public c10::MemoryReportingInfoBase {
 public:
  using MemoryReportingInfoBase::reportMemoryUsage;
  void reportMemoryUsage(void* address, int64_t bytes, size_t /*total_allocated*/,
                         size_t /*total_reserved*/, at::Device /*device*/) override {
    if (bytes > 0) {
      add(address, static_cast<size_t>(bytes), use_now);
    } else {
      remove(address);
    }
  }
  bool memoryProfilingEnabled() const override { return true; }

  void add(const void* address, size_t bytes, MemoryUse use) {
    remove(address);  // it was freed where no one watched
    held_[address] = {bytes, use};
    Count& count = of(use);
    count.now += bytes;
    count.peak = std::max(count.peak, count.now);
  }
  void remove(const void* address) {
    const auto found = held_.find(address);
    if (found == held_.end()) return;
    of(found->second.use).now -= found->second.bytes;
    held_.erase(found);
  }
  uint64_t peak(MemoryUse use) const { return counts_[static_cast<size_t>(use)].peak; }

 private:
  struct Held {
    size_t bytes = 0;
    MemoryUse use = MemoryUse::kActivations;
  };
  struct Count {
    uint64_t now = 0, peak = 0;
  };
  Count& of(MemoryUse use) { return counts_[static_cast<size_t>(use)]; }

  std::unordered_map<const void*, Held> held_;
  std::array<Count, 3> counts_;
};

namespace {

constexpr auto kKind = c10::DebugInfoKind::PROFILER_STATE;  // what allocators report to

thread_local MemoryWatch::Report* report_now = nullptr;

}  // namespace

MemoryWatch::MemoryWatch() : report_(std::make_shared<Report>()), before_(report_now) {
  c10::ThreadLocalDebugInfo::_push(kKind, report_);
  report_now = report_.get();
}

MemoryWatch::~MemoryWatch() {
  report_now = before_;
  c10::ThreadLocalDebugInfo::_pop(kKind);
}

MemoryPeaks MemoryWatch::peaks() const {
  return {report_->peak(MemoryUse::kWeights), report_->peak(MemoryUse::kKv),
          report_->peak(MemoryUse::kActivations)};
}

void count_memory(const void* address, size_t bytes, MemoryUse use) {
  if (report_now != nullptr) report_now->add(address, bytes, use);
}

void give_back_memory(const void* address) {
  if (report_now != nullptr) report_now->remove(address);
}

}  // namespace kvcomm
