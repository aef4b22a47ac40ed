#include "app/plan_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <tuple>
#include <vector>

#include "app/tables.h"
#include "method/sharing.h"
#include "plan/memory.h"
#include "plan/tokens.h"

namespace kvcomm {

namespace {

using Rows = std::vector<std::vector<std::string>>;

// A sum of which parts may be unknown.
struct Amount {
  int64_t sum = 0;
  bool at_most = false, open = false, about = false;  // open: something unknown comes on top

  void operator+=(const Amount& other) {
    sum += other.sum;
    at_most = at_most || other.at_most;
    open = open || other.open;
    about = about || other.about;
  }
  std::string text(std::string of_sum) const {
    if (about && sum > 0) of_sum.insert(0, "~");
    if (open) return sum == 0 ? "?" : of_sum + " and more";
    return at_most ? "up to " + of_sum : of_sum;
  }
  std::string count_text() const { return text(std::to_string(sum)); }
  std::string bytes_text() const { return text(kvcomm::bytes_text(static_cast<double>(sum))); }
};

// "1.24 TFLOP"
std::string flops_text(double flops) {
  constexpr std::array kUnits{"FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP"};
  size_t unit = 0;
  for (; flops >= 1e3 && unit + 1 < kUnits.size(); ++unit) flops /= 1e3;
  return fmt::format("{:.3g} {}", flops, kUnits[unit]);
}

const Amount kUnknown{.open = true};

// What cells do in all.
struct Sums {
  int64_t cells = 0, samples = 0;
  Amount stored, context, prompt, sent, calibration;
  CellWork work, left;      // left: of samples that are not stored
  bool work_open = false;   // that of some is unknown
  bool work_about = false;  // a prompt holds what was said, in as many tokens as that or so

  void operator+=(const Sums& other) {
    cells += other.cells;
    samples += other.samples;
    stored += other.stored;
    context += other.context;
    prompt += other.prompt;
    sent += other.sent;
    calibration += other.calibration;
    work += other.work;
    left += other.left;
    work_open = work_open || other.work_open;
    work_about = work_about || other.work_about;
  }
  // Answers may be shorter than the longest that is allowed.
  std::string flops_text() const {
    if (work.flops == 0) return work_open ? "?" : "0 FLOP";
    return (work_about ? "about " : "up to ") + kvcomm::flops_text(work.flops) +
           (work_open ? " and more" : "");
  }
  bool estimated() const { return context.about; }
  std::vector<std::string> row(const std::string& name) const {
    return {name,
            std::to_string(cells),
            std::to_string(samples),
            stored.count_text(),
            context.count_text(),
            prompt.count_text(),
            sent.bytes_text(),
            calibration.bytes_text(),
            flops_text()};
  }
};

// "'a'", "'a' and 2 more".
std::string names_of(const std::set<std::filesystem::path>& folders) {
  const std::string first = fmt::format("'{}'", folders.begin()->string());
  return folders.size() == 1 ? first : fmt::format("{} and {} more", first, folders.size() - 1);
}

Amount counted(int64_t sum, const CellTokens& tokens) {
  return {.sum = sum, .about = tokens.estimated};
}

// Payload of a cell's samples.
Amount sent_by(const WireCost& cost, const std::optional<CellTokens>& tokens, int64_t samples) {
  if (cost.per_context_token > 0 && !tokens) return kUnknown;
  const int64_t sending = samples - (tokens ? tokens->too_long : 0);
  return {.sum = cost.per_context_token * (tokens ? tokens->context : 0) +
                 (cost.per_sample + cost.per_step * cost.most_steps) * sending,
          .at_most = cost.at_most || cost.per_step > 0,
          .about = cost.per_context_token > 0 && tokens->estimated};
}

class PlanWriter {
 public:
  PlanWriter(const Plan& plan, const CompletedIndex& stored, const std::optional<Rates>& rates)
      : plan_(plan), stored_(stored), rates_(rates), counter_(plan) {}

  PlanText text() {
    for (const Cell& cell : plan_.cells) add(cell);
    return {tables_ + memory_text(), totals_text(), notes_text(), some_fail_};
  }

 private:
  void add(const Cell& cell) {
    const ModelConfig& model = plan_.pairs[cell.pair].receiver.config;
    const WireCost cost = wire_cost(cell.spec, model, element_bytes_, plan_.fidelity);
    const std::optional<CellTokens> tokens = counter_.count(cell);
    Sums sums{.cells = 1, .samples = cell.samples, .stored = stored_of(cell)};
    sums.context = tokens ? counted(tokens->context, *tokens) : kUnknown;
    sums.prompt = tokens && tokens->prompt ? counted(*tokens->prompt, *tokens) : kUnknown;
    sums.sent = sent_by(cost, tokens, cell.samples);
    sums.calibration = calibration_of(cell);
    sums.work_open = !tokens;
    sums.work_about =
        profile_of(cell.spec, plan_.fidelity).refines || (tokens && tokens->estimated);
    if (tokens) sums.work = cell_work(plan_, cell, tokens->each);
    const double share = cell.samples == 0 ? 0
                                           : 1 - static_cast<double>(sums.stored.sum) /
                                                     static_cast<double>(cell.samples);
    sums.left = share * sums.work;
    if (tokens) too_long_ = std::max(too_long_, tokens->too_long);
    by_pair_.resize(plan_.pairs.size());
    by_pair_[cell.pair] += sums;

    const std::string layers =
        shares_layers(cell.spec)
            ? fmt::format("{} of {}", layers_sent(cell.spec, model.layers, plan_.fidelity).text(),
                          model.layers)
            : "-";
    rows_.push_back(
        {cell.spec.label(), std::to_string(cell.samples), sums.stored.count_text(), layers,
         sums.context.count_text(),
         profile_of(cell.spec, plan_.fidelity).refines ? "varies" : sums.prompt.count_text(),
         cost.text(), sums.sent.bytes_text(), sums.flops_text()});
    const bool last = &cell == &plan_.cells.back() || (&cell)[1].pair != cell.pair ||
                      (&cell)[1].dataset != cell.dataset;
    if (last) end_table(cell);
  }

  // Without its key nothing tells a cell's rows from others'.
  Amount stored_of(const Cell& cell) const {
    if (cell.key.empty()) return stored_.empty() ? Amount{} : kUnknown;
    Amount stored;
    for (uint32_t sample = 0; sample < cell.samples; ++sample) {
      stored.sum += stored_.is_done(cell.key, sample);
    }
    return stored;
  }

  // What the first cell to ask for importances sends for them: keys and values of all layers.
  Amount calibration_of(const Cell& cell) {
    const std::vector<uint32_t> samples = cell.calibrating();
    if (samples.empty()) return {};
    const bool shared = cell.recalibrate_every == 0;
    if (shared && !calibrated_.emplace(cell.pair, cell.dataset, samples).second) return {};
    const ModelConfig& model = plan_.pairs[cell.pair].receiver.config;
    const std::optional<CellTokens> tokens = counter_.count(cell, samples);
    if (!tokens) return kUnknown;
    return counted(tokens->context * model.layers * model.kv_bytes_per_token(element_bytes_),
                   *tokens);
  }

  void end_table(const Cell& cell) {
    const Dataset& dataset = plan_.datasets[cell.dataset];
    const std::string& pair = plan_.config.pairs[cell.pair].name;
    const std::string where =
        dataset.path.empty() ? "as published; the file is absent" : "in " + dataset.path.string();
    rows_.insert(rows_.begin(), {"method", "samples", "stored", "layers sent", "context tokens",
                                 "prompt tokens", "crosses the wire", "sent", "computed"});
    tables_ += fmt::format("{} on {} ({} samples {})\n{}\n", pair, dataset.info.name,
                           sample_count(dataset), where, text_table(rows_));
    rows_.clear();
    some_fail_ = some_fail_ || too_long_ > 0;
    if (too_long_ > 0) {
      notes_ += fmt::format(
          "{} on {}: the prompts of {} of {} samples are longer than run.max_input_tokens = {}; "
          "these samples will fail.\n",
          pair, dataset.info.name, too_long_, sample_count(dataset),
          plan_.config.run.max_input_tokens);
    }
    too_long_ = 0;
  }

  std::string totals_text() {
    if (plan_.cells.empty()) return "No cell can be planned yet.\n";
    Rows rows{{"pair", "cells", "samples", "stored", "context tokens", "prompt tokens", "sent",
               "sent to calibrate", "computed"}};
    for (size_t pair = 0; pair < by_pair_.size(); ++pair) {
      all_ += by_pair_[pair];
      if (by_pair_[pair].cells > 0 && by_pair_.size() > 1) {
        rows.push_back(by_pair_[pair].row(plan_.config.pairs[pair].name));
      }
    }
    rows.push_back(all_.row("all"));
    return text_table(rows);
  }

  std::string hours_text() const {
    if (all_.work.flops == 0) return "";
    if (all_.left.flops == 0) return all_.work_open ? "" : "\nNothing is left to do.\n";
    if (!rates_) {
      return "\nHours are not known, as no row of this sweep was answered on this kind of machine: "
             "run it with --limit 4 and plan again, or plan with --hours, which measures this "
             "machine's products and reads of memory.\n";
    }
    const double hours = seconds_at(*rates_, all_.left) / 3600;
    const std::string told = fmt::format(
        "\nAbout {:.2g} hours on one lane for what is not stored, if answers are as long as they "
        "may be, without calibration and loading: {}.\n",
        hours, rates_->source);
    return told + (all_.work_open ? "What is absent comes on top.\n" : "");
  }

  // What each end of a pair takes: a rank has one of them, or both.
  std::string memory_text() const {
    Rows rows{{"pair, end", "weights", "a pass", "longest sample", "batch of 8"}};
    const auto bytes = [](int64_t of) { return bytes_text(static_cast<double>(of)); };
    for (size_t pair = 0; pair < plan_.pairs.size(); ++pair) {
      if (!plan_.pairs[pair].has_configs() || by_pair_.size() <= pair ||
          by_pair_[pair].cells == 0) {
        continue;
      }
      const PairMemory memory = memory_of(plan_, pair);
      const auto add_end = [&](const char* end, const RankMemory& of) {
        rows.push_back({fmt::format("{}, {}", plan_.config.pairs[pair].name, end),
                        bytes(of.weights), bytes(of.pass), bytes(of.sample), bytes(of.with(8))});
      };
      add_end("sender", memory.sender);
      add_end("receiver", memory.receiver);
      add_end(plan_.pairs[pair].senders.size() == 1 ? "both on one rank" : "all on one rank",
              memory.all);
    }
    return rows.size() == 1 ? "" : fmt::format("memory of a rank\n{}\n", text_table(rows));
  }

  std::string notes_text() const {
    std::string text = hours_text() + (notes_.empty() ? "" : "\n" + notes_);
    if (std::ranges::any_of(by_pair_, &Sums::estimated)) {
      text += fmt::format("\n~: without a tokenizer, {} characters of a prompt count as a token.\n",
                          kCharactersPerToken);
    }
    if (!plan_.unhashed.empty() && !stored_.empty()) {
      text += fmt::format(
          "\nWhat is stored is known by every byte of the weights, and those of {} are not hashed "
          "yet: `kvcomm plan --hash` does that, as `run` would.\n",
          names_of(plan_.unhashed));
    }
    if (plan_.absent.empty()) return text;
    text += "\nBefore `kvcomm run`:\n";
    for (const Absence& absence : plan_.absent) text += absence.sentence + "\n";
    return text;
  }

  const Plan& plan_;
  const CompletedIndex& stored_;
  const std::optional<Rates>& rates_;
  const int64_t element_bytes_ = element_bytes(plan_.config.run.dtype);
  TokenCounter counter_;
  std::set<std::tuple<size_t, size_t, std::vector<uint32_t>>> calibrated_;  // pair, data set
  std::vector<Sums> by_pair_;
  Sums all_;
  Rows rows_;             // of the table that is being filled
  int64_t too_long_ = 0;  // likewise
  bool some_fail_ = false;
  std::string tables_, notes_;
};

}  // namespace

PlanText plan_text(const Plan& plan, const CompletedIndex& stored,
                   const std::optional<Rates>& rates) {
  return PlanWriter(plan, stored, rates).text();
}

}  // namespace kvcomm
