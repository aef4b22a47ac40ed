#include "tasks/messages.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace kvcomm {

using Json = nlohmann::json;

// What was set makes labels, and a limit chose the samples: a lane needs neither.
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(MethodSpec, name, resolved)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(TaskCell, cell, spec, layers)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Task, kind, id, pair, dataset, dataset_fingerprint, attempt,
                                   batch, samples, chosen_by, cells, calibration_key)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Report, kind, task, cell, rows, failures, calibration,
                                   recalibration, rank)

namespace {

// Texts are UTF-8 by then (answers are decoded with replacement), so CBOR carries them as they are.
template <typename Message>
std::string to_bytes(const Message& message) {
  const std::vector<uint8_t> bytes = Json::to_cbor(Json(message));
  return {bytes.begin(), bytes.end()};
}

template <typename Message>
Message from_bytes(std::string_view bytes) {
  return Json::from_cbor(bytes.begin(), bytes.end()).get<Message>();
}

}  // namespace

bool ran_out_of_memory(const Report& report) {
  return std::ranges::any_of(report.failures, [](const FailureRecord& failure) {
    // The one sample of a recalibration is as few as can be: it says nothing of batches.
    return failure.step != "recalibration" && failure.what.find(kOutOfMemory) != std::string::npos;
  });
}

std::string encode(const Task& task) { return to_bytes(task); }
std::string encode(const Report& report) { return to_bytes(report); }
Task decode_task(std::string_view bytes) { return from_bytes<Task>(bytes); }
Report decode_report(std::string_view bytes) { return from_bytes<Report>(bytes); }

}  // namespace kvcomm
