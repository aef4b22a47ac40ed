#include "schedule/draft.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <span>

namespace kvcomm {

Seconds seconds_of(const Draft& draft, const Plan& plan, const Effort& effort) {
  Seconds context = 0, own = 0;
  for (const uint32_t cell : draft.cells) {
    const ExchangeSeconds seconds = effort.batch(plan.cells[cell], draft.samples);
    context = std::max(context, seconds.context);
    own += seconds.own();
  }
  return context + own;
}

namespace {

// Where to cut a draft's cells so that either part takes about as long.
ptrdiff_t middle_of_cells(const Draft& draft, const Plan& plan, const Effort& effort) {
  std::vector<Seconds> until(draft.cells.size() + 1, 0);
  for (size_t i = 0; i < draft.cells.size(); ++i) {
    until[i + 1] = until[i] + effort.batch(plan.cells[draft.cells[i]], draft.samples).own();
  }
  const auto off = [&](size_t cut) { return std::abs(until[cut] - until.back() / 2); };
  size_t best = 1;
  for (size_t cut = 2; cut < draft.cells.size(); ++cut) {
    if (off(cut) < off(best)) best = cut;
  }
  return static_cast<ptrdiff_t>(best);
}

}  // namespace

std::pair<Draft, Draft> halves(const Draft& draft, const Plan& plan, const Effort& effort) {
  const auto cut = [&](std::vector<uint32_t> Draft::*list, ptrdiff_t middle) {
    std::pair<Draft, Draft> parts{draft, draft};
    const std::vector<uint32_t>& all = draft.*list;
    (parts.first.*list).assign(all.begin(), all.begin() + middle);
    (parts.second.*list).assign(all.begin() + middle, all.end());
    parts.first.seconds = seconds_of(parts.first, plan, effort);
    parts.second.seconds = seconds_of(parts.second, plan, effort);
    return parts;
  };
  const auto by_samples = [&] { return cut(&Draft::samples, (std::ssize(draft.samples) + 1) / 2); };
  const auto by_cells = [&] { return cut(&Draft::cells, middle_of_cells(draft, plan, effort)); };
  if (draft.cells.size() == 1) return by_samples();
  if (draft.samples.size() == 1) return by_cells();
  const auto seconds = [](const auto& parts) { return parts.first.seconds + parts.second.seconds; };
  auto samples = by_samples(), cells = by_cells();
  return seconds(samples) <= seconds(cells) ? samples : cells;
}

std::vector<Draft> in_batches(const Draft& draft, size_t most, const Plan& plan,
                              const Effort& effort) {
  std::vector<Draft> parts;
  for (size_t begin = 0; begin < draft.samples.size(); begin += most) {
    const auto samples = std::span(draft.samples).subspan(begin);
    Draft part{.samples = {}, .cells = draft.cells, .attempt = draft.attempt};
    part.samples.assign(samples.begin(),
                        samples.begin() + static_cast<ptrdiff_t>(std::min(most, samples.size())));
    part.seconds = seconds_of(part, plan, effort);
    parts.push_back(std::move(part));
  }
  return parts;
}

void insert(Draft draft, std::deque<Draft>& drafts) {
  const auto place =
      std::ranges::lower_bound(drafts, draft.seconds, std::greater{}, &Draft::seconds);
  drafts.insert(place, std::move(draft));
}

}  // namespace kvcomm
