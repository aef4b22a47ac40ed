#include "bench/bench_wire.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <optional>
#include <utility>

#include "base/log.h"
#include "bench/record.h"
#include "bench/stage.h"
#include "bench/wire_ends.h"
#include "plan/memory.h"
#include "select/layers.h"
#include "sweep/agree.h"
#include "sweep/sweep.h"

namespace kvcomm::bench {

namespace {

ModelConfig shape_of(const WireOptions& options) {
  if (!options.model.empty()) return load_shape(options.model);
  ModelConfig llama;
  llama.layers = 32;
  llama.kv_heads = 8;
  llama.head_dim = 128;
  return llama;
}

std::vector<int64_t> layers_of(const WireOptions& options, const ModelConfig& model) {
  std::vector<int64_t> counts = options.layers;
  for (const int64_t count : counts) {
    if (count <= model.layers) continue;
    fail(Exit::kUsage, "--layers {} are more than the {} of the model.", count, model.layers);
  }
  if (!counts.empty()) return counts;
  for (const double ratio : options.ratio) {
    counts.push_back(layer_count(ratio, static_cast<int>(model.layers), fidelity_of({})));
  }
  return counts;
}

// Keys and values of one sample with so many tokens, in the model's first layers.
Header header_of(const ModelConfig& model, DtypeChoice dtype, int64_t layers, int64_t tokens) {
  Header header{.kind = PayloadKind::kKv, .samples = {{.rows = tokens, .context_tokens = tokens}}};
  for (int layer = 0; layer < layers; ++layer) {
    const TensorSpec spec{
        .layer = layer, .row_shape = {model.kv_heads, model.head_dim}, .dtype = scalar_type(dtype)};
    header.tensors.insert(header.tensors.end(), {spec, spec});  // keys and values
  }
  return header;
}

std::vector<Header> headers_of(const WireOptions& options, const ModelConfig& model) {
  std::vector<Header> headers;
  for (const int64_t layers : layers_of(options, model)) {
    for (const int64_t tokens : options.tokens) {
      headers.push_back(header_of(model, options.run.dtype, layers, tokens));
    }
  }
  return headers;
}

// An end holds a message twice: as tensors, and as one buffer for the bare message.
void require_memory(const std::vector<Header>& headers, const Stage& stage) {
  const int64_t ends = stage.seat.role == Role::kBoth ? 2 : 1;
  for (const Header& header : headers) {
    const auto payload = static_cast<int64_t>(payload_bytes(header));
    const int64_t needed = 2 * ends * payload;
    if (needed <= stage.layout.memory_bytes) continue;
    fail(Exit::kEnvironment,
         "A message of {} tokens and {} layers has {:.1f} GiB; measuring it takes {:.1f} GiB, more "
         "than the {:.1f} GiB of a rank. Use fewer --tokens or layers.",
         header.samples.front().rows, header.tensors.size() / 2, gib(payload), gib(needed),
         gib(stage.layout.memory_bytes));
  }
}

// The three are timed in turn, so that what else the machine does slows all of them down.
WireRow measure(WireEnds& ends, const Header& header, const WireOptions& options,
                at::Device device) {
  WireRow row{.tokens = header.samples.front().rows,
              .layers = std::ssize(header.tensors) / 2,
              .bytes = payload_bytes(header)};
  std::vector<at::Tensor> tensors;
  if (ends.sends()) {
    tensors = allocate(header, at::TensorOptions().device(device));
    for (at::Tensor& tensor : tensors) tensor.uniform_(-1, 1);
  }
  const Bytes before = ends.counted();
  const int64_t messages = options.warm_up + options.samples;
  for (int64_t i = 0; i < messages; ++i) {
    const Seconds message_s = ends.message(WireEnds::Sums::kOn, header, tensors);
    const Seconds without_s = ends.message(WireEnds::Sums::kOff, header, tensors);
    const Seconds raw_s = ends.has_wire() ? ends.raw(row.bytes) : 0;
    if (i < options.warm_up) continue;
    row.message.push_back(message_s);
    row.without_sums.push_back(without_s);
    if (ends.has_wire()) row.raw.push_back(raw_s);
  }
  const Bytes after = ends.counted();
  const auto counted = after.payload - before.payload;
  if (counted != row.bytes * static_cast<uint64_t>(messages)) {
    fail(Exit::kIntegrity, "The ledger counted {} bytes of {} messages that have {} each.", counted,
         messages, row.bytes);
  }
  row.header_bytes = (after.header - before.header) / static_cast<uint64_t>(messages);
  ends.forget_samples();
  return row;
}

void check_options(const WireOptions& options, int world_size) {
  if (world_size > 2) {
    fail(Exit::kUsage,
         "`kvcomm bench wire` measures from one rank to another, and {} were started: use mpirun "
         "-np 2.",
         world_size);
  }
  if (options.only_loopback && world_size > 1) {
    fail(Exit::kUsage,
         "--transport loopback is inside one process, and {} were started: leave mpirun out.",
         world_size);
  }
  if (options.run.transport == TransportChoice::kNccl && device_kind(options.run) == "cpu") {
    fail(
        Exit::kEnvironment,
        "--transport nccl moves data between GPUs, and this would be on the CPU: use mpi or auto.");
  }
  require_place_for_record(options.record);
}

}  // namespace

Exit bench_wire(Communicator& world, const WireOptions& options,
                const std::function<void(const WireReport&)>& finished) {
  const c10::InferenceMode inference;
  ModelConfig model;
  std::vector<Header> headers;
  const auto found = set_stage(world, options.run, [&] {
    check_options(options, world.size());
    model = shape_of(options);
    headers = headers_of(options, model);
  });
  if (const Exit* code = std::get_if<Exit>(&found)) return *code;
  const Stage& stage = std::get<Stage>(found);
  if (const auto code = agree(world, attempt([&] { require_memory(headers, stage); })))
    return *code;

  WireReport report{.shape = fmt::format("{} layers, {} KV heads of {}", model.layers,
                                         model.kv_heads, model.head_dim),
                    .dtype = std::string(to_text(options.run.dtype)),
                    .device = stage.seat.device.str(),
                    .transport = stage.seat.transport,
                    .throttle = options.throttle,
                    .rows = {}};
  Communicator lane = world.split(stage.seat.lane, stage.seat.rank_in_lane());
  std::optional<WireEnds> ends;  // outlives the handler: closing would wait for a peer in vain
  try {
    ends.emplace(lane, stage.seat, options.run.timeout_s, 1e9 * options.throttle);
    for (const Header& header : headers) {
      report.rows.push_back(measure(*ends, header, options, stage.seat.device));
      if (!ends->sends()) continue;
      spdlog::info("{} bytes: {} times.", report.rows.back().bytes, options.samples);
    }
    if (ends->sends()) finished(report);
  } catch (const Error& error) {
    if (world.size() == 1) throw;
    spdlog::critical("{}", error.what());
    abort_job(static_cast<int>(error.exit()));  // its peer would wait for it
  }
  return Exit::kOk;
}

}  // namespace kvcomm::bench
