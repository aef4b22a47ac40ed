#include "method/wire.h"

#include "base/error.h"

namespace kvcomm {

Header kv_header(Batch& batch, std::span<const int> layers) {
  const Decoder& model = *batch.agent().model;
  Header header{.task = batch.turn().task,
                .cell = batch.turn().cell,
                .attempt = batch.turn().attempt,
                .kind = Kind::kKv};
  for (size_t i = 0; i < batch.size(); ++i) {
    header.samples.push_back(
        {batch.samples()[i]->index, static_cast<int64_t>(batch.context_ids()[i].size())});
  }
  for (const int layer : layers) {
    const TensorSpec spec{.layer = layer,
                          .row_shape = {model.config().kv_heads, model.config().head_dim},
                          .dtype = c10::typeMetaToScalarType(model.options().dtype())};
    header.tensors.push_back(spec);  // keys
    header.tensors.push_back(spec);  // values
  }
  return header;
}

namespace {

// Refuses what this model cannot attend to, with both values.
void check_header(const Header& header, const Batch& batch) {
  const Decoder& model = *batch.agent().model;
  const ModelConfig& config = model.config();
  bool same_samples = header.samples.size() == batch.size();
  for (size_t i = 0; same_samples && i < batch.size(); ++i) {
    same_samples = header.samples[i].sample == batch.samples()[i]->index;
  }
  if (!same_samples) {
    fail(Exit::kIntegrity, "A message of {} samples came that are not the {} of this batch.",
         header.samples.size(), batch.size());
  }
  const std::vector<int64_t> row_shape{config.kv_heads, config.head_dim};
  for (const TensorSpec& spec : header.tensors) {
    if (spec.layer < 0 || spec.layer >= config.layers || spec.row_shape != row_shape ||
        spec.dtype != model.options().dtype()) {
      fail(
          Exit::kIntegrity,
          "Keys and values came as layer {} with rows of [{}] in {}; this model has {} layers with "
          "rows of [{}] in {}.",
          spec.layer, fmt::join(spec.row_shape, ", "), c10::toString(spec.dtype), config.layers,
          fmt::join(row_shape, ", "),
          c10::toString(c10::typeMetaToScalarType(model.options().dtype())));
    }
  }
}

Context to_context(const Header& header, const std::vector<at::Tensor>& tensors, int64_t layers) {
  Context context;
  context.layers.resize(static_cast<size_t>(layers));
  for (const SampleRows& sample : header.samples) context.rows.push_back(sample.rows);
  for (size_t i = 0; i + 1 < tensors.size(); i += 2) {
    context.layers[static_cast<size_t>(header.tensors[i].layer)] = {tensors[i], tensors[i + 1]};
  }
  return context;
}

void note_arrivals(Batch& batch, const Header& header, const Delivery& delivery) {
  batch.arrivals.resize(batch.size());
  double all_rows = 0;
  for (const SampleRows& sample : header.samples) all_rows += static_cast<double>(sample.rows);
  for (size_t i = 0; i < batch.size(); ++i) {
    Arrival& arrival = batch.arrivals[i];
    const double share = static_cast<double>(header.samples[i].rows) / all_rows;
    arrival.context_tokens += header.samples[i].rows;
    arrival.layers = static_cast<int64_t>(header.tensors.size()) / 2;
    arrival.sender_prefill_s += share * delivery.sender_prefill_s;
    arrival.wire_exposed_s += share * delivery.wire.exposed_s;
    arrival.wire_hidden_s += share * delivery.wire.hidden_s;
    if (!delivery.failure.empty()) {
      arrival.failure = "The sender failed: " + delivery.failure;
    } else if (!delivery.intact[i]) {
      arrival.failure =
          "The keys and values that arrived are not those that were sent (their sums differ).";
    }
  }
}

}  // namespace

std::vector<std::shared_ptr<const Context>> receive_contexts(Batch& batch,
                                                             std::span<Channel* const> wires) {
  std::vector<std::shared_ptr<const Context>> contexts;
  for (Channel* wire : wires) {
    const Turn& turn = batch.turn();
    const Header header = wire->accept(
        {.kind = Kind::kKv, .task = turn.task, .cell = turn.cell, .attempt = turn.attempt});
    check_header(header, batch);
    const std::vector<at::Tensor> tensors = wire->take_all();
    note_arrivals(batch, header, wire->close_received());
    contexts.push_back(std::make_shared<const Context>(
        to_context(header, tensors, batch.agent().model->config().layers)));
  }
  return contexts;
}

}  // namespace kvcomm
