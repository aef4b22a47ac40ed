#include "bench/bench_model.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <random>

#include "base/log.h"
#include "bench/limits.h"
#include "bench/record.h"
#include "bench/stage.h"
#include "model/device_watch.h"
#include "model/generate.h"
#include "plan/memory.h"

namespace kvcomm::bench {

namespace {

constexpr int64_t kMostRead = int64_t{1} << 30;  // bytes of the buffer that is read

// All sequences alike: so many of them, with so many tokens.
struct Load {
  int64_t prompt, generate, batch;
};

std::vector<Load> loads_of(const ModelOptions& options) {
  std::vector<Load> loads;
  for (const int64_t prompt : options.prompt) {
    for (const int64_t generate : options.generate) {
      for (const int64_t batch : options.batch) loads.push_back({prompt, generate, batch});
    }
  }
  return loads;
}

// Bytes of weights that a decoding step reads: all but the embeddings, unless they are the head.
int64_t weight_bytes_of_step(const ModelConfig& model, DtypeChoice dtype) {
  const int64_t all = memory_of(model, dtype, /*pass_tokens=*/0, /*kept_tokens=*/0).weights;
  return all - (model.tied_embeddings ? 0 : model.vocab * model.hidden * element_bytes(dtype));
}

void require_memory(const ModelConfig& model, const ModelOptions& options, int64_t bytes) {
  const DtypeChoice dtype = options.run.dtype;
  const int64_t limits =
      limits_memory(model, std::min(weight_bytes_of_step(model, dtype), kMostRead));
  for (const auto& [prompt, generate, batch] : loads_of(options)) {
    const int64_t pass = std::min(options.run.prefill_tokens, prompt * batch);
    const RankMemory rank = memory_of(model, dtype, pass, prompt + generate);
    if (rank.with(batch) + limits <= bytes) continue;
    fail(Exit::kEnvironment,
         "Weights of {:.1f} GiB, {:.1f} GiB for a pass of {} tokens, {:.1f} GiB for {} sequences "
         "of {} tokens and {:.1f} GiB for the machine's limits do not fit into {:.1f} GiB. Use "
         "more memory, a smaller model, --dtype bfloat16, or a smaller --batch or --prompt.",
         gib(rank.weights), gib(rank.pass), pass, gib(batch * rank.sample), batch,
         prompt + generate, gib(limits), gib(bytes));
  }
}

Decoder load(const ModelOptions& options, const ModelConfig& config, at::Device device) {
  const at::ScalarType dtype = scalar_type(options.run.dtype);
  if (!options.model.empty()) {
    return Decoder(options.model, dtype, device, OtherHead::kUsed, options.run.prefill_tokens);
  }
  return Decoder(config, RandomWeights(config, static_cast<uint64_t>(options.run.seed)),
                 at::TensorOptions().dtype(dtype).device(device), OtherHead::kUsed,
                 options.run.prefill_tokens);
}

// Prompts of random tokens, and answers that nothing ends early.
std::vector<Request> requests_for(const ModelConfig& model, const Load& load, int64_t seed) {
  std::mt19937_64 random(static_cast<uint64_t>(seed));
  std::vector<Request> requests(static_cast<size_t>(load.batch));
  for (Request& request : requests) {
    for (int64_t i = 0; i < load.prompt; ++i) {
      const uint64_t id = random() % static_cast<uint64_t>(model.vocab);
      request.prompt.ids.push_back(static_cast<int64_t>(id));
    }
    request.decoding.max_new_tokens = load.generate;
  }
  return requests;
}

// The limits are measured between the model's own repeats, so that what else the machine does slows
// both down.
ModelRow measure(const Decoder& model, const ModelOptions& options, const Load& load,
                 const Limit& read) {
  const ModelConfig& config = model.config();
  ModelRow row{.prompt = load.prompt, .generate = load.generate, .batch = load.batch};
  const int64_t tokens = load.prompt * load.batch;
  const Limit product =
      product_limit(config, model.options(), std::min(tokens, model.pass_tokens()));
  std::vector<Request> requests =
      requests_for(config, {load.prompt, 2, load.batch}, options.run.seed);
  generate(model, requests);  // warms up
  for (Request& request : requests) request.decoding.max_new_tokens = load.generate;
  Samples products, reads;
  for (int64_t repeat = 0; repeat < options.repeats; ++repeat) {
    row.prefill.push_back(0);
    row.decode.push_back(0);
    for (const Answer& answer : generate(model, requests)) {
      row.prefill.back() += answer.prefill_s;
      row.decode.back() += answer.decode_s;
    }
    products.push_back(product.time());
    reads.push_back(read.time());
  }
  row.product = product.name();
  row.read = read.name();
  row.prefill_flop = 2.0 * static_cast<double>(tokens * config.layers * layer_elements(config));
  row.flop_per_s = product.rate(products);
  const DtypeChoice dtype = options.run.dtype;
  const int64_t kv_bytes = config.layers * config.kv_bytes_per_token(element_bytes(dtype));
  const double rows = static_cast<double>(load.prompt) + static_cast<double>(load.generate) / 2;
  row.step_bytes = static_cast<double>(weight_bytes_of_step(config, dtype)) +
                   static_cast<double>(load.batch * kv_bytes) * rows;
  row.bytes_per_s = read.rate(reads);
  return row;
}

ModelReport measure_all(const ModelOptions& options, const ModelConfig& config,
                        const Stage& stage) {
  const DeviceWatch watch(stage.seat.device);
  const Decoder model = load(options, config, stage.seat.device);
  const bool random = options.model.empty();
  const auto& folder = random ? options.random_weights : options.model;
  ModelReport report{
      .model = random ? fmt::format("random weights of {}", folder.string()) : folder.string(),
      .dtype = std::string(to_text(options.run.dtype)),
      .device = stage.seat.device.str(),
      .threads = stage.threads,
      .load_s = watch.elapsed_s()};
  spdlog::info("The weights are there after {:.1f} s.", report.load_s);
  const int64_t read_bytes = std::min(weight_bytes_of_step(config, options.run.dtype), kMostRead);
  const Limit read = read_limit(read_bytes, model.options());
  for (const Load& load : loads_of(options)) {
    spdlog::info("Prompts of {} tokens, {} generated, batch {}: {} times.", load.prompt,
                 load.generate, load.batch, options.repeats);
    report.rows.push_back(measure(model, options, load, read));
  }
  return report;
}

}  // namespace

double ModelRow::prompt_tokens_per_s() const {
  return static_cast<double>(prompt * batch) / median(prefill);
}

double ModelRow::generated_tokens_per_s() const {
  return static_cast<double>((generate - 1) * batch) / median(decode);
}

double ModelRow::prefill_share() const { return prefill_flop / flop_per_s / median(prefill); }

double ModelRow::decode_share() const {
  return static_cast<double>(generate - 1) * step_bytes / bytes_per_s / median(decode);
}

Exit bench_model(Communicator& world, const ModelOptions& options,
                 const std::function<void(const ModelReport&)>& finished) {
  const c10::InferenceMode inference;
  ModelConfig config;
  const auto stage = set_stage(world, options.run, [&] {
    if (world.size() > 1) {
      fail(Exit::kUsage,
           "`kvcomm bench model` is one process, and {} were started: leave mpirun out.",
           world.size());
    }
    require_place_for_record(options.record);
    config = options.model.empty() ? load_shape(options.random_weights)
                                   : load_model_config(options.model);
  });
  if (const Exit* code = std::get_if<Exit>(&stage)) return *code;
  const Stage& set = std::get<Stage>(stage);
  require_memory(config, options, set.layout.memory_bytes);
  try {
    finished(measure_all(options, config, set));
  } catch (const c10::Error& error) {
    fail(Exit::kEnvironment, "The measurement failed on the device {}: {}", set.seat.device.str(),
         error.what_without_backtrace());
  }
  return Exit::kOk;
}

}  // namespace kvcomm::bench
