#include "comm/faults.h"

#include <ATen/ATen.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <limits>
#include <random>
#include <ranges>
#include <thread>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"

namespace kvcomm {

namespace {

using Names = std::vector<std::string>;

enum class Action { kDrop, kDelay, kCorrupt, kNan, kKill, kStop, kFail };
const Names kActions{"drop", "delay", "corrupt", "nan", "kill", "stop", "fail"};
const Names kPhases{"prefill", "transfer", "decode", "writing"};
const Names kNotes{"header", "answer", "trailer"};  // ControlMessage, from 1 on

// What each action understands, beside what all do.
Names keys_of(Action action) {
  Names keys{"rank", "after", "times", "p", "seed"};
  const auto and_also = [&](const Names& more) {
    keys.insert(keys.end(), more.begin(), more.end());
  };
  if (action >= Action::kKill) {
    and_also({"phase"});
  } else {
    and_also({"kind", "layer", "sample"});
    if (action != Action::kNan) and_also({"note"});
    if (action == Action::kDelay) and_also({"ms"});
  }
  return keys;
}

Names kinds() {
  Names names;
  for (int kind = 0; kind < kKinds; ++kind)
    names.emplace_back(name(static_cast<PayloadKind>(kind)));
  return names;
}

}  // namespace

struct Faults::Rule {
  std::string text;
  Action action = Action::kDrop;
  std::optional<int> rank;
  uint64_t after = 1, times = std::numeric_limits<uint64_t>::max();
  double probability = 1;
  std::optional<PayloadKind> kind;
  std::optional<int> layer;
  std::optional<uint32_t> sample;
  std::optional<ControlMessage> note;
  std::chrono::milliseconds delay{0};
  std::optional<Phase> phase;

  std::mt19937_64 random;
  uint64_t seen = 0, struck = 0;

  // At a moment that the rule speaks of.
  bool strikes() {
    if (++seen < after || struck >= times) return false;
    if (probability < 1 && std::uniform_real_distribution<>()(random) >= probability) return false;
    ++struck;
    spdlog::debug("--inject '{}' strikes, at moment {}.", text, seen);
    return true;
  }
  // Of whole numbers from `begin` to before `end`.
  int64_t any(int64_t begin, int64_t end) {
    return std::uniform_int_distribution<int64_t>(begin, end - 1)(random);
  }

  // The rows of a tensor that the rule speaks of: from, to.
  std::pair<int64_t, int64_t> rows_in(const Header& header, const TensorSpec& spec) const {
    if (kind.value_or(header.kind) != header.kind || layer.value_or(spec.layer) != spec.layer) {
      return {};
    }
    int64_t begin = 0, all = 0;
    for (const SampleRows& of : header.samples) {
      const int64_t rows = rows_of(spec, of);
      if (sample == of.sample) return {all, all + rows};
      all += rows;
    }
    return sample ? std::pair{begin, begin} : std::pair{begin, all};
  }
  bool speaks_of(const Header& header, const TensorSpec& spec) const {
    const auto [begin, end] = rows_in(header, spec);
    return begin < end;
  }
  // What the process itself suffers.
  void hit() const {
    spdlog::warn("--inject '{}' strikes process {} now.", text, ::getpid());
    spdlog::default_logger()->flush();
    if (action == Action::kFail) fail(Exit::kEnvironment, "--inject '{}' lets this fail.", text);
    ::kill(::getpid(), action == Action::kKill ? SIGKILL : SIGSTOP);
  }
};

// Makes a rule of "ACTION:KEY=VALUE,KEY=VALUE".
class Faults::Reader {
 public:
  explicit Reader(const std::string& text) { rule_.text = text; }

  Rule read() {
    const std::string_view text = rule_.text;
    const size_t colon = std::min(text.find(':'), text.size());
    rule_.action = choose<Action>("action", text.substr(0, colon), kActions);
    uint64_t seed = 0;
    for (const auto part : std::views::split(text.substr(std::min(colon + 1, text.size())), ',')) {
      read_key(std::string_view(part.begin(), part.end()), seed);
    }
    rule_.random.seed(seed);
    check();
    return std::move(rule_);
  }

 private:
  template <typename... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> why, Args&&... args) const {
    fail(Exit::kUsage, "--inject '{}': {} docs/cluster.md has the list.", rule_.text,
         fmt::format(why, std::forward<Args>(args)...));
  }

  template <typename Choice>
  Choice choose(std::string_view what, std::string_view word, const Names& names,
                int first = 0) const {
    const auto found = std::ranges::find(names, word);
    if (found == names.end()) {
      const std::string near = did_you_mean(word, names);
      refuse("there is no {} '{}'.{}", what, word,
             near.empty() ? fmt::format(" There are {}.", join(names, ", ")) : near);
    }
    return static_cast<Choice>(found - names.begin() + first);
  }

  template <typename Number>
  Number number(std::string_view key, std::string_view value, Number least, Number most) const {
    Number number{};
    const auto [end, error] = std::from_chars(value.begin(), value.end(), number);
    if (error != std::errc() || end != value.end() || !(number >= least && number <= most)) {
      refuse("{} must be a number from {} to {}, not '{}'.", key, least, most, value);
    }
    return number;
  }

  void read_key(std::string_view part, uint64_t& seed) {
    const size_t equals = part.find('=');
    if (equals == part.npos) refuse("'{}' is no KEY=VALUE.", part);
    const std::string_view key = part.substr(0, equals), value = part.substr(equals + 1);
    const Names keys = keys_of(rule_.action);
    choose<size_t>(fmt::format("key of '{}'", kActions[static_cast<size_t>(rule_.action)]), key,
                   keys);
    constexpr int kMost = 1'000'000'000;
    if (key == "rank") rule_.rank = number(key, value, 0, kMost);
    if (key == "after") rule_.after = number<uint64_t>(key, value, 1, kMost);
    if (key == "times") rule_.times = number<uint64_t>(key, value, 1, kMost);
    if (key == "p") rule_.probability = number(key, value, 0.0, 1.0);
    if (key == "seed") seed = number<uint64_t>(key, value, 0, kMost);
    if (key == "kind") rule_.kind = choose<PayloadKind>("kind", value, kinds());
    if (key == "layer") rule_.layer = number(key, value, 0, kMost);
    if (key == "sample") rule_.sample = number<uint32_t>(key, value, 0, kMost);
    if (key == "note") rule_.note = choose<ControlMessage>("note", value, kNotes, /*first=*/1);
    if (key == "ms") rule_.delay = std::chrono::milliseconds(number(key, value, 1, 1'000'000));
    if (key == "phase") rule_.phase = choose<Phase>("phase", value, kPhases);
  }

  void check() const {
    const bool of_process = rule_.action >= Action::kKill;
    if (of_process && !rule_.phase) refuse("it says no phase ({}).", join(kPhases, ", "));
    if (rule_.action == Action::kDelay && rule_.delay.count() == 0) refuse("it says no ms.");
    if (rule_.note && (rule_.kind || rule_.layer || rule_.sample)) {
      refuse("note goes without kind, layer and sample.");
    }
    if (rule_.action == Action::kCorrupt &&
        rule_.note.value_or(ControlMessage::kHeader) != ControlMessage::kHeader) {
      refuse("of the notes a header alone can be corrupted.");
    }
    const bool whole = rule_.kind == PayloadKind::kTokens || rule_.kind == PayloadKind::kLayers;
    if (rule_.action == Action::kNan && whole) refuse("whole numbers are never NaN.");
  }

  Rule rule_;
};

Faults::Faults() = default;
Faults::~Faults() = default;
Faults::Faults(Faults&&) noexcept = default;
Faults& Faults::operator=(Faults&&) noexcept = default;

Faults::Faults(std::span<const std::string> rules, int rank, int ranks) {
  for (const std::string& text : rules) {
    Rule rule = Reader(text).read();
    if (rule.rank.value_or(0) >= ranks) {
      fail(Exit::kUsage, "--inject '{}': there is no rank {}, this run has {}.", text, *rule.rank,
           ranks);
    }
    if (rule.rank.value_or(rank) == rank) rules_.push_back(std::move(rule));
  }
}

void Faults::at(Phase phase) {
  for (Rule& rule : rules_) {
    if (rule.phase == phase && rule.strikes()) rule.hit();
  }
}

int Faults::write(int fd, std::string_view line) {
  for (Rule& rule : rules_) {
    if (rule.phase != Phase::kWriting || !rule.strikes()) continue;
    const std::string_view half = line.substr(0, line.size() / 2);
    if (const int reason = write_fully(fd, half); reason != 0) return reason;
    if (rule.action == Action::kFail) return ENOSPC;
    rule.hit();
    line.remove_prefix(half.size());
  }
  return write_fully(fd, line);
}

// ---- messages

std::unique_ptr<Transport> Faults::around(std::unique_ptr<Transport> transport) {
  if (rules_.empty()) return transport;
  return std::make_unique<Faulty>(
      std::move(transport),
      Fault{.payload =
                [this](const Header& header, size_t first, std::vector<at::Tensor> tensors) {
                  return on_payload(header, first, std::move(tensors));
                },
            .note = [this](ControlMessage note,
                           std::string bytes) { return on_note(note, std::move(bytes)); },
            .moving = [this] { at(Phase::kTransfer); }});
}

namespace {

// A transport may read it on a stream of its own, which knows nothing of this change.
at::Tensor with_flipped_bit(const at::Tensor& tensor, int64_t byte, int64_t bit) {
  at::Tensor changed = tensor.clone();
  changed.flatten().view(at::kByte)[byte].bitwise_xor_(int64_t{1} << bit);
  if (!changed.is_cpu()) {
    const auto* guard = c10::impl::getDeviceGuardImpl(changed.device().type());
    guard->synchronizeStream(guard->getStream(changed.device()));
  }
  return changed;
}

}  // namespace

std::vector<at::Tensor> Faults::on_payload(const Header& header, size_t first,
                                           std::vector<at::Tensor> tensors) {
  for (Rule& rule : rules_) {
    if (rule.phase || rule.note || rule.action == Action::kNan || tensors.empty()) continue;
    if (!rule.speaks_of(header, header.tensors[first]) || !rule.strikes()) continue;
    if (rule.action == Action::kDelay) std::this_thread::sleep_for(rule.delay);
    if (rule.action == Action::kDrop) tensors.clear();
    if (rule.action == Action::kCorrupt) {
      const int64_t i = rule.any(0, std::ssize(tensors));
      const TensorSpec& spec = header.tensors[first + static_cast<size_t>(i)];
      const auto [begin, end] = rule.rows_in(header, spec);
      const int64_t byte = rule.any(begin * bytes_per_row(spec), end * bytes_per_row(spec));
      at::Tensor& tensor = tensors[static_cast<size_t>(i)];
      tensor = with_flipped_bit(tensor, byte, rule.any(0, 8));
    }
  }
  return tensors;
}

std::optional<std::string> Faults::on_note(ControlMessage note, std::string bytes) {
  for (Rule& rule : rules_) {
    if (rule.note != note || !rule.strikes()) continue;
    if (rule.action == Action::kDelay) std::this_thread::sleep_for(rule.delay);
    if (rule.action == Action::kDrop) return std::nullopt;
    if (rule.action == Action::kCorrupt) {
      Header header = decode_header(bytes);
      for (SampleRows& sample : header.samples) ++sample.sample;  // none where it says a failure
      bytes = encode(header);
    }
  }
  return bytes;
}

Substitute Faults::spoiling(Substitute substitute) {
  const auto makes_nan = [](const Rule& rule) { return rule.action == Action::kNan; };
  if (std::ranges::none_of(rules_, makes_nan)) return substitute;
  return [this, substitute = std::move(substitute), makes_nan](const Header& header, size_t index,
                                                               const at::Tensor& given) {
    at::Tensor tensor = substitute ? substitute(header, index, given) : given;
    const TensorSpec& spec = header.tensors[index];
    for (Rule& rule : rules_) {
      if (!makes_nan(rule) || !tensor.is_floating_point()) continue;
      if (!rule.speaks_of(header, spec) || !rule.strikes()) continue;
      const auto [begin, end] = rule.rows_in(header, spec);
      tensor = tensor.clone();
      const at::Tensor row = tensor[rule.any(begin, end)].flatten();
      row[rule.any(0, row.numel())].fill_(std::numeric_limits<double>::quiet_NaN());
    }
    return tensor;
  };
}

}  // namespace kvcomm
