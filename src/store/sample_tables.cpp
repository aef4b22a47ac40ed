#include "store/sample_tables.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

namespace kvcomm {

namespace {

constexpr const char* kPlace = "place in the data set's evaluated order, from 0";

// A sender's part in a row of /samples.
struct Sent : SenderPart {
  uint32_t sample = 0, sender = 0;
};

}  // namespace

Table samples_table(const Results& results) {
  std::vector<OfCell<SampleRow>> rows;
  for (size_t c = 0; c < results.cells.size(); ++c) {
    const CellResult& cell = results.cells[c];
    for (const SampleRow* row : cell.rows) {
      rows.push_back({static_cast<int32_t>(c), &cell, row});
    }
  }
  using S = SampleRow;
  auto table =
      table_of_cells("samples", rows)
          .add("sample", "1", kPlace, of(&S::sample))
          .add("sample_id", "", "the record's own id, or its file:line", of(&S::sample_id))
          .add("answer", "", "the receiver's text, whole and untrimmed", of(&S::answer))
          .variable_length()
          .add("score", "1", "score by the cell's metric, higher is better; 0 where failed",
               [](const auto& row) { return score_of(*row.record); })
          .add("failed", "1", "1: no attempt gave an answer that can be scored", of(&S::failed))
          .add("attempt", "1", "the attempt that this row is, from 1", of(&S::attempt));
#define KVC_ADD(type, name, units, in_samples, in_cells, absent) \
  table.add(#name, units, in_samples, of(&S::name));
  KVC_SAMPLE_COLUMNS(KVC_ADD)
#undef KVC_ADD
  return table.table();
}

Table senders_table(const Results& results) {
  std::vector<std::vector<Sent>> sent;  // of each cell
  for (const CellResult& cell : results.cells) {
    std::vector<Sent>& of_cell = sent.emplace_back();
    for (const SampleRow* row : cell.rows) {
      for (uint32_t sender = 0; sender < row->senders.size(); ++sender) {
        of_cell.push_back({row->senders[sender], row->sample, sender});
      }
    }
  }
  using P = SenderPart;
  const auto rows = rows_of(results, sent);
  return table_of_cells("senders", rows)
      .add("sample", "1", kPlace, of(&Sent::sample))
      .add("sender", "1", "in the pair's order, from 0", of(&Sent::sender))
      .add("context_tokens", "tokens", "its templated prompt", of(&P::context_tokens))
      .add("output_tokens", "tokens", "what it generated", of(&P::output_tokens))
      .add("payload_bytes", "B", "sent by it, without headers", of(&P::payload_bytes))
      .add("header_bytes", "B", "of its headers and trailers", of(&P::header_bytes))
      .add("prefill_s", "s", "it reads its context, as in /samples", of(&P::prefill_s))
      .table();
}

// Scores by the metrics beside the cells' own, of the rows that a run with these metrics answered.
Table scores_table(const Results& results) {
  std::vector<OfCell<SampleRow>> rows;
  std::vector<std::string> metrics;
  std::vector<double> scores;
  for (size_t c = 0; c < results.cells.size(); ++c) {
    const CellResult& cell = results.cells[c];
    for (const SampleRow* row : cell.rows) {
      for (const auto& [metric, score] : row->further_scores) {
        rows.push_back({static_cast<int32_t>(c), &cell, row});
        metrics.push_back(metric);
        scores.push_back(row->failed ? 0 : score);
      }
    }
  }
  using S = SampleRow;
  Table table =
      table_of_cells("scores", rows)
          .add("sample", "1", kPlace, of(&S::sample))
          .add("sample_id", "", "the record's own id, or its file:line", of(&S::sample_id))
          .table();
  std::ranges::move(further_score_columns(std::move(metrics), std::move(scores)),
                    std::back_inserter(table.columns));
  return table;
}

Table recalibrations_table(const Results& results) {
  using R = RecalibrationRecord;
  std::vector<OfCell<R>> rows;
  for (size_t c = 0; c < results.cells.size(); ++c) {
    for (const R* record : results.cells[c].recalibrations) {
      rows.push_back({static_cast<int32_t>(c), &results.cells[c], record});
    }
  }
  const auto json = [](auto member) {
    return [member](const OfCell<R>& row) { return nlohmann::json(row.record->*member).dump(); };
  };
  return table_of_cells("recalibrations", rows)
      .add("sample", "1", "by which the layers were chosen anew", of(&R::sample))
      .add("layers", "", "the layers that were chosen, as JSON", json(&R::layers))
      .add("importance", "", "of each layer, as JSON", json(&R::importance))
      .add("bytes", "B", "payload of all layers", of(&R::bytes))
      .add("return_bytes", "B", "payload of the choice on its way back", of(&R::return_bytes))
      .add("seconds", "s", "of the whole recalibration", of(&R::seconds))
      .add("answer", "", "the receiver's text with all layers", of(&R::answer))
      .variable_length()
      .add("score", "1", "of that answer, by the cell's metric", of(&R::score))
      .add("scored", "1", "1: that score is part of the cell's mean",
           [](const OfCell<R>& row) { return row.result->cell.recalibration_scored; })
      .table();
}

std::vector<Column> further_score_columns(std::vector<std::string> metrics,
                                          std::vector<double> scores) {
  return {
      {"metric", "", "a metric beside the cell's own", std::move(metrics)},
      {"score", "1", "score by that metric, higher is better; 0 where failed", std::move(scores)}};
}

}  // namespace kvcomm
