#include "method/wire.h"

#include "base/error.h"
#include "model/memory.h"

namespace kvcomm {

namespace {

// What a tensor of that kind must be to this model; layer and extent are the message's own affair.
TensorSpec expected_spec(const Decoder& model, PayloadKind kind, int layer,
                         bool first_row_only = false) {
  const ModelConfig& config = model.config();
  TensorSpec spec{.layer = layer, .first_row_only = first_row_only};
  if (kind == PayloadKind::kKv) spec.row_shape = {config.kv_heads, config.head_dim};
  if (kind == PayloadKind::kVectors || kind == PayloadKind::kHidden)
    spec.row_shape = {config.hidden};
  spec.dtype = kind == PayloadKind::kTokens || kind == PayloadKind::kLayers
                   ? at::kInt
                   : c10::typeMetaToScalarType(model.options().dtype());
  return spec;
}

Header header_of(const ExchangeId& exchange, PayloadKind kind) {
  return {.task = exchange.task, .cell = exchange.cell, .attempt = exchange.attempt, .kind = kind};
}

Header start_header(const Batch& batch, PayloadKind kind, std::span<const int64_t> rows,
                    std::span<const int64_t> context_tokens) {
  Header header = header_of(batch.exchange(), kind);
  for (size_t i = 0; i < batch.size(); ++i) {
    header.samples.push_back({batch.sample(i).index, rows[i], context_tokens[i]});
  }
  return header;
}

}  // namespace

Expected expected(const ExchangeId& exchange, PayloadKind kind, size_t samples) {
  return {.kind = kind,
          .task = exchange.task,
          .cell = exchange.cell,
          .attempt = exchange.attempt,
          .samples = samples};
}

Header failure_header(const ExchangeId& exchange, PayloadKind kind, std::string reason) {
  Header header = header_of(exchange, kind);
  header.failure = std::move(reason);
  return header;
}

Header rows_header(const Batch& batch, const RowsMessage& message) {
  Header header = start_header(batch, message.kind, message.rows, message.context_tokens);
  header.tensors = {expected_spec(*batch.agent().model, message.kind, message.layer)};
  return header;
}

Header kv_header(Batch& batch, std::span<const int> full_layers, std::span<const int> first_rows) {
  const Decoder& model = *batch.agent().model;
  const std::vector<int64_t> tokens = batch.context_tokens();
  Header header = start_header(batch, PayloadKind::kKv, tokens, tokens);
  for (int layer = 0; layer < model.config().layers; ++layer) {
    const bool sink = std::ranges::binary_search(first_rows, layer);
    if (!sink && !std::ranges::binary_search(full_layers, layer)) continue;
    const TensorSpec spec = expected_spec(model, PayloadKind::kKv, layer, sink);
    header.tensors.push_back(spec);  // keys
    header.tensors.push_back(spec);  // values
  }
  return header;
}

LayerKv first_rows_of(const LayerKv& kv, std::span<const std::vector<int64_t>> sequences) {
  std::vector<int64_t> rows;
  int64_t begin = 0;
  for (const auto& sequence : sequences) {
    rows.push_back(begin);
    begin += std::ssize(sequence);
  }
  const at::Tensor index = at::tensor(rows, at::kLong).to(kv.k.device());
  return {kv.k.index_select(0, index), kv.v.index_select(0, index)};
}

namespace {

void check_samples(const Header& header, const Batch& batch) {
  bool same = header.samples.size() == batch.size();
  for (size_t i = 0; same && i < batch.size(); ++i) {
    same = header.samples[i].sample == batch.sample(i).index;
  }
  if (same) return;
  fail(Exit::kIntegrity, "A message of {} samples came that are not the {} of this batch.",
       header.samples.size(), batch.size());
}

// Refuses what this model cannot work with, with both values.
void check_tensors(const Header& header, const Decoder& model) {
  const int64_t layers = model.config().layers;
  for (const TensorSpec& spec : header.tensors) {
    const TensorSpec wanted = expected_spec(model, header.kind, spec.layer);
    const bool no_layer = spec.layer == kNoLayer && header.kind != PayloadKind::kKv;
    const bool layer_fits = no_layer || (spec.layer >= 0 && spec.layer < layers);
    if (layer_fits && spec.row_shape == wanted.row_shape && spec.dtype == wanted.dtype) continue;
    fail(Exit::kIntegrity,
         "A tensor of kind {} came as layer {} with rows of [{}] in {}; this model has {} layers "
         "and needs rows of [{}] in {}.",
         name(header.kind), spec.layer, fmt::join(spec.row_shape, ", "), c10::toString(spec.dtype),
         layers, fmt::join(wanted.row_shape, ", "), c10::toString(wanted.dtype));
  }
  if (header.kind != PayloadKind::kKv && header.tensors.size() != 1) {
    fail(Exit::kIntegrity, "A message of kind {} came with {} tensors; it has one.",
         name(header.kind), header.tensors.size());
  }
}

int64_t whole_layers(const Header& header) {
  if (header.kind != PayloadKind::kKv) return 0;
  return std::ranges::count(header.tensors, false, &TensorSpec::first_row_only) / 2;
}

// Each sample's part of their sum; equal parts of nothing.
std::vector<double> shares(std::span<const SampleRows> samples, int64_t SampleRows::*count) {
  double sum = 0;
  for (const SampleRows& sample : samples) sum += static_cast<double>(sample.*count);
  std::vector<double> shares;
  for (const SampleRows& sample : samples) {
    shares.push_back(sum == 0 ? 1.0 / static_cast<double>(samples.size())
                              : static_cast<double>(sample.*count) / sum);
  }
  return shares;
}

void note_arrivals(Batch& batch, const Header& header, const Delivery& delivery,
                   const std::string& sender) {
  batch.arrivals.resize(batch.size());
  const auto of_rows = shares(header.samples, &SampleRows::rows);
  const auto of_tokens = shares(header.samples, &SampleRows::context_tokens);
  for (size_t i = 0; i < batch.size(); ++i) {
    ReceivedSample& arrival = batch.arrivals[i];
    const SampleRows& sample = header.samples[i];
    const double share = of_rows[i];
    const Seconds prefill_s = of_tokens[i] * delivery.sender_prefill_s;
    const bool generated =
        header.kind == PayloadKind::kTokens || header.kind == PayloadKind::kVectors;
    const int64_t said = generated ? sample.rows : 0;
    arrival.parts.push_back({sample.context_tokens, said, prefill_s});
    arrival.context_tokens += sample.context_tokens;
    arrival.said += said;
    arrival.layers = whole_layers(header);
    arrival.sender_prefill_s += prefill_s;
    arrival.sender_decode_s += share * delivery.sender_decode_s;
    arrival.sender_joules += (generated ? share : of_tokens[i]) * delivery.sender_joules;
    arrival.wire_exposed_s += share * delivery.wire.exposed_s;
    arrival.wire_hidden_s += share * delivery.wire.hidden_s;
    arrival.senders_s = std::max(arrival.senders_s, prefill_s + share * (delivery.sender_decode_s +
                                                                         delivery.wire.exposed_s));
    if (!delivery.failure.empty()) {
      arrival.failure = sender + " failed: " + delivery.failure;
    } else if (!delivery.intact[i]) {
      arrival.altered = true;
      arrival.failure =
          fmt::format("The {} that arrived are not those that were sent (their sums differ).",
                      name(header.kind));
    } else if (sample.rows == 0) {
      arrival.failure =
          sender + " had nothing to say: the first thing that it generated was the end.";
    }
  }
}

struct Received {
  Header header;
  std::vector<at::Tensor> tensors;
};

IncomingMessage accept_message(const Batch& batch, PayloadKind kind, ReceiveEnd& wire,
                               const std::string& sender) {
  IncomingMessage message = wire.next(expected(batch.exchange(), kind, batch.size()));
  const Header& header = message.header();
  if (!header.failure.empty()) {
    fail(Exit::kSomeFailed, "{} failed before its message: {}", sender, header.failure);
  }
  check_samples(header, batch);
  check_tensors(header, *batch.agent().model);
  const MemoryScope scope(kind == PayloadKind::kKv ? MemoryUse::kKv : MemoryUse::kActivations);
  message.accept();
  return message;
}

// One from each wire; several come side by side.
std::vector<Received> receive_messages(Batch& batch, PayloadKind kind,
                                       std::span<ReceiveEnd* const> wires) {
  const auto name_of = [&](size_t sender) {
    return wires.size() == 1 ? "The sender" : fmt::format("Sender {}", sender);
  };
  std::vector<IncomingMessage> messages;
  for (size_t i = 0; i < wires.size(); ++i) {
    messages.push_back(accept_message(batch, kind, *wires[i], name_of(i)));
  }
  std::vector<Received> received;
  for (size_t i = 0; i < wires.size(); ++i) {
    IncomingMessage& message = messages[i];
    Delivery delivery = message.take();
    note_arrivals(batch, message.header(), delivery, name_of(i));
    received.push_back({message.header(), std::move(delivery.tensors)});
  }
  return received;
}

Context to_context(const Received& received, int64_t layers) {
  Context context;
  context.layers.resize(static_cast<size_t>(layers));
  for (const SampleRows& sample : received.header.samples) context.tokens.push_back(sample.rows);
  for (size_t i = 0; i + 1 < received.tensors.size(); i += 2) {
    const TensorSpec& spec = received.header.tensors[i];
    std::vector<int64_t> rows;
    for (const SampleRows& sample : received.header.samples) rows.push_back(rows_of(spec, sample));
    context.layers[static_cast<size_t>(spec.layer)] = {
        .kv = {received.tensors[i], received.tensors[i + 1]}, .offsets = offsets_of(rows)};
  }
  return context;
}

}  // namespace

void send_layers(const Batch& batch, SendEnd& back, std::span<const int> layers) {
  OutgoingMessage message = back.offer(rows_header(
      batch, {.kind = PayloadKind::kLayers, .rows = {std::ssize(layers)}, .context_tokens = {0}}));
  message.put(at::tensor(layers, at::kInt).to(batch.agent().model->options().device()));
  message.close({.work_ended_at_s = now_s()});
}

std::vector<int> receive_layers(Batch& batch, ReceiveEnd& back) {
  ReceiveEnd* const wires[] = {&back};
  const at::Tensor layers =
      receive_messages(batch, PayloadKind::kLayers, wires).front().tensors.front().to(at::kCPU);
  // The receiver goes by what it chose: with anything else the two ends are out of step.
  if (const std::string& failure = batch.arrivals.front().failure; !failure.empty()) {
    fail(Exit::kIntegrity, "{}", failure);
  }
  const int* first = layers.const_data_ptr<int>();
  return {first, first + layers.numel()};
}

std::vector<std::shared_ptr<const Context>> receive_contexts(Batch& batch,
                                                             std::span<ReceiveEnd* const> wires) {
  std::vector<std::shared_ptr<const Context>> contexts;
  for (const Received& received : receive_messages(batch, PayloadKind::kKv, wires)) {
    contexts.push_back(std::make_shared<const Context>(
        to_context(received, batch.agent().model->config().layers)));
  }
  return contexts;
}

std::vector<std::vector<at::Tensor>> receive_rows(Batch& batch, PayloadKind kind,
                                                  std::span<ReceiveEnd* const> wires) {
  std::vector<std::vector<at::Tensor>> by_wire;
  for (const Received& received : receive_messages(batch, kind, wires)) {
    std::vector<at::Tensor>& rows = by_wire.emplace_back();
    int64_t begin = 0;
    for (const SampleRows& sample : received.header.samples) {
      rows.push_back(received.tensors.front().narrow(0, begin, sample.rows));
      begin += sample.rows;
    }
  }
  return by_wire;
}

}  // namespace kvcomm
