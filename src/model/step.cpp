#include "model/step.h"

#include <ATen/ATen.h>

#include "base/error.h"

namespace kvcomm {

namespace {

// Integers of many lists, put on a device together.
class Upload {
 public:
  void add(const std::vector<int64_t>& list) { all_.insert(all_.end(), list.begin(), list.end()); }
  // The host does not wait: what it sends out of common memory is copied before the call returns.
  void send(at::Device device) {
    sent_ = at::tensor(all_, at::kLong).to(device, at::kLong, /*non_blocking=*/true);
  }

  // Lists in the order of add(); each is taken once.
  at::Tensor take(size_t count) {
    taken_ += static_cast<int64_t>(count);
    return sent_.narrow(0, taken_ - static_cast<int64_t>(count), static_cast<int64_t>(count));
  }

 private:
  std::vector<int64_t> all_;
  at::Tensor sent_;
  int64_t taken_ = 0;
};

void require_room(const KvCache& cache, const Part& part) {
  if (cache.length(part.slot) + part.tokens <= cache.capacity(part.slot)) return;
  fail(Exit::kInternal, "Slot {} of the cache has room for {} tokens, {} are there and {} come.",
       part.slot, cache.capacity(part.slot), cache.length(part.slot), part.tokens);
}

// A kind's lists on the host.
struct Lists {
  std::vector<int64_t> cache_rows, positions;
  ops::Ranges ranges;
};

Lists lists_of(const LayerKind& kind, const KvCache& cache, std::span<const Part> parts) {
  Lists lists;
  for (const Part& part : parts) {
    const auto slot = static_cast<size_t>(part.slot);
    const int64_t seen = cache.length(part.slot);
    const int64_t before = kind.received[slot] + seen;
    for (int64_t t = 0; t < part.tokens; ++t) {
      lists.cache_rows.push_back(kind.begins[slot] + before + t);
      lists.positions.push_back(kind.own[slot].start + seen + t);
    }
    lists.ranges.add(part.tokens, kind.begins[slot], before + part.tokens,
                     kind.own[slot].lookahead);
  }
  return lists;
}

}  // namespace

Step make_step(const KvCache& cache, std::vector<Part> parts, Step::Phase phase,
               const Rotary& rotary, at::Device device) {
  for (const Part& part : parts) require_room(cache, part);
  std::vector<Lists> lists;
  for (const LayerKind& kind : cache.kinds()) lists.push_back(lists_of(kind, cache, parts));

  Upload upload;
  for (const Lists& list : lists) {
    upload.add(list.cache_rows);
    upload.add(list.positions);
    upload.add(list.ranges.q_offsets);
    upload.add(list.ranges.begins);
    upload.add({0});  // kernels want one more begin than sequences
    upload.add(list.ranges.rows);
  }
  upload.send(device);

  Step step{.phase = phase, .parts = std::move(parts)};
  for (size_t i = 0; i < lists.size(); ++i) {
    Step::Kind& kind = step.kinds.emplace_back();
    kind.cache_rows = upload.take(lists[i].cache_rows.size());
    const at::Tensor positions = upload.take(lists[i].positions.size());
    if (i > 0 && lists[i].positions == lists[i - 1].positions) {
      kind.positions = step.kinds[i - 1].positions;
      kind.angles = step.kinds[i - 1].angles;
    } else {
      kind.positions = positions.to(at::kFloat).unsqueeze(1);
      kind.angles = rotary.angles(kind.positions);
    }
    kind.ranges = std::move(lists[i].ranges);
    const auto sequences = static_cast<size_t>(kind.ranges.sequences());
    const at::Tensor q_offsets = upload.take(sequences + 1), begins = upload.take(sequences + 1),
                     rows = upload.take(sequences);
    if (device.is_cpu()) continue;
    kind.ranges.device_q_offsets = q_offsets.to(at::kInt);
    kind.ranges.device_begins = begins.to(at::kInt);
    kind.ranges.device_rows = rows.to(at::kInt);
  }
  return step;
}

void advance(Step& step, const KvCache& cache, const Rotary& rotary) {
  for (const Part& part : step.parts) require_room(cache, part);
  for (size_t i = 0; i < step.kinds.size(); ++i) {
    Step::Kind& kind = step.kinds[i];
    kind.cache_rows.add_(1);
    for (int64_t& rows : kind.ranges.rows) ++rows;
    if (kind.ranges.device_rows.defined()) kind.ranges.device_rows.add_(1);
    if (i > 0 && kind.positions.is_same(step.kinds[i - 1].positions)) continue;  // already moved
    kind.positions.add_(1);
    rotary.set(kind.angles, kind.positions);
  }
}

}  // namespace kvcomm
