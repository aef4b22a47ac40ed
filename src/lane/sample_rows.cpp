#include "lane/sample_rows.h"

#include <algorithm>

#include "base/error.h"
#include "plan/plan.h"
#include "score/score.h"

namespace kvcomm {

namespace {

// Where a row counts payload of that kind.
uint64_t SampleRow::*column_of(PayloadKind kind) {
  switch (kind) {
    case PayloadKind::kKv:
      return &SampleRow::kv_bytes;
    case PayloadKind::kTokens:
      return &SampleRow::token_bytes;
    case PayloadKind::kVectors:
      return &SampleRow::vector_bytes;
    case PayloadKind::kHidden:
      return &SampleRow::hidden_bytes;
    case PayloadKind::kLayers:
      break;  // goes back, and is no row's
  }
  fail(Exit::kInternal, "Kind {} has no column.", static_cast<int>(kind));
}

void add_arrival(SampleRow& row, const ReceivedSample& arrival) {
  row.context_tokens = static_cast<uint64_t>(arrival.context_tokens);
  row.sender_output_tokens = static_cast<uint64_t>(arrival.said);
  row.layers_sent = static_cast<uint64_t>(arrival.layers);
  row.sender_prefill_s = arrival.sender_prefill_s;
  row.sender_decode_s = arrival.sender_decode_s;
  row.wire_exposed_s = arrival.wire_exposed_s;
  row.wire_hidden_s = arrival.wire_hidden_s;
  row.sender_joules = arrival.sender_joules;
  row.ttft_s = arrival.senders_s;  // the answering end's part is still to come
}

// Adds what a wire brought; returns its bytes.
Bytes add_bytes(SampleRow& row, const Ledger& ledger, const ExchangeId& exchange,
                PayloadKind kind) {
  const Bytes bytes = ledger.of_sample(exchange.cell, row.sample, exchange.attempt);
  row.payload_bytes += bytes.payload;
  row.*column_of(kind) += bytes.payload;
  row.header_bytes += bytes.header;
  const std::vector<uint64_t> layers =
      ledger.kv_layers_of_sample(exchange.cell, row.sample, exchange.attempt);
  row.layer_bytes.resize(std::max(row.layer_bytes.size(), layers.size()));
  for (size_t layer = 0; layer < layers.size(); ++layer) row.layer_bytes[layer] += layers[layer];
  return bytes;
}

}  // namespace

std::vector<SampleRow> sample_rows(const Batch& batch, const Method& method,
                                   std::span<ReceiveEnd* const> wires,
                                   const DatasetConfig& dataset) {
  const std::vector<ScriptMessage> script = method.script(/*sender=*/0);
  std::vector<SampleRow> rows;
  for (size_t i = 0; i < batch.size(); ++i) {
    SampleRow& row = rows.emplace_back(SampleRow{.sample = batch.sample(i).index,
                                                 .attempt = batch.exchange().attempt,
                                                 .sample_id = batch.sample(i).id,
                                                 .further_scores = unscored(dataset),
                                                 .ttft_s = 0,
                                                 .sender_joules = 0});
    if (i < batch.arrivals.size()) add_arrival(row, batch.arrivals[i]);
    if (script.empty()) continue;
    for (size_t sender = 0; sender < wires.size(); ++sender) {
      const Bytes bytes =
          add_bytes(row, wires[sender]->ledger(), batch.exchange(), script.front().kind);
      if (wires.size() == 1) continue;
      SenderPart part{.payload_bytes = bytes.payload, .header_bytes = bytes.header};
      if (i < batch.arrivals.size() && sender < batch.arrivals[i].parts.size()) {
        const ReceivedSample::Part& of_sender = batch.arrivals[i].parts[sender];
        part.context_tokens = static_cast<uint64_t>(of_sender.context_tokens);
        part.output_tokens = static_cast<uint64_t>(of_sender.said);
        part.prefill_s = of_sender.prefill_s;
      }
      row.senders.push_back(part);
    }
  }
  return rows;
}

void score_row(SampleRow& row, std::string answer, const std::string& metric,
               const std::vector<std::string>& accepted) {
  row.answer = std::move(answer);
  row.score = score(metric, row.answer, accepted);
  for (auto& [name, further] : row.further_scores) further = score(name, row.answer, accepted);
}

void mark_failed(SampleRow& row) {
  row.failed = true;
  row.answer.clear();
  row.score = 0;
}

}  // namespace kvcomm
