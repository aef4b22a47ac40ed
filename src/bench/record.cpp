#include "bench/record.h"

#include "base/files.h"
#include "base/nesting.h"
#include "sweep/provenance.h"

namespace kvcomm::bench {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kRecord = "kvcomm bench";  // the value of "record"

bool is_record(const std::filesystem::path& path) {
  try {
    const auto json = parse_json(read_file(path));
    return json.is_object() && json.value("record", "") == kRecord;
  } catch (const nlohmann::json::exception&) {
    return false;
  }
}

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return std::filesystem::absolute(path).parent_path();
}

Json to_json(const ModelRow& row) {
  return {{"prompt_tokens", row.prompt},
          {"generated_tokens", row.generate},
          {"batch", row.batch},
          {"prefill_s", row.prefill},
          {"decode_s", row.decode},
          {"prompt_tokens_per_s", row.prompt_tokens_per_s()},
          {"generated_tokens_per_s", row.generated_tokens_per_s()},
          {"prefill_flop", row.prefill_flop},
          {"product_flop_per_s", row.flop_per_s},
          {"product", row.product},
          {"prefill_share_of_product", row.prefill_share()},
          {"step_bytes", row.step_bytes},
          {"read_bytes_per_s", row.bytes_per_s},
          {"read", row.read},
          {"decode_share_of_read", row.decode_share()}};
}

Json to_json(const WireRow& row) {
  Json json = {{"tokens", row.tokens},
               {"layers", row.layers},
               {"bytes", row.bytes},
               {"header_bytes", row.header_bytes},
               {"message_s", row.message},
               {"without_sums_s", row.without_sums},
               {"bare_s", row.raw},
               {"p50_s", median(row.message)},
               {"p99_s", percentile(row.message, 0.99)},
               {"bytes_per_s", row.bytes_per_s()},
               {"share_of_sums", row.share_of_sums()}};
  if (!row.raw.empty()) json["share_of_bare"] = row.share_of_raw();
  return json;
}

template <typename Row>
Json to_json(const std::vector<Row>& rows) {
  Json json = Json::array();
  for (const Row& row : rows) json.push_back(to_json(row));
  return json;
}

}  // namespace

Json to_json(const ModelReport& report) {
  return {{"bench", "model"},
          {"model", report.model},
          {"dtype", report.dtype},
          {"device", report.device},
          {"threads", report.threads},
          {"load_s", report.load_s},
          {"rows", to_json(report.rows)}};
}

Json to_json(const WireReport& report) {
  return {{"bench", "wire"},
          {"shape", report.shape},
          {"dtype", report.dtype},
          {"device", report.device},
          {"transport", report.transport},
          {"throttle_gb_per_s", report.throttle},
          {"rows", to_json(report.rows)}};
}

void require_place_for_record(const std::filesystem::path& path) {
  if (path.empty()) return;
  require_writable_place(folder_of(path));
  if (!is_there(path) || (std::filesystem::is_regular_file(path) && is_record(path))) return;
  fail(Exit::kUsage,
       "'{}' is there already and is no record of `kvcomm bench`, so it is not replaced: move it "
       "away, or name another file with --json.",
       path.string());
}

void write_record(const std::filesystem::path& path, const std::vector<std::string>& argv,
                  const Json& measured) {
  if (path.empty()) return;
  const RunRecord program = describe_program(argv);
  Json json = {{"record", kRecord},          {"date", program.date},
               {"argv", program.argv},       {"version", program.version},
               {"commit", program.commit},   {"dependencies", program.dependencies},
               {"machine", program.machine}, {"environment", program.environment}};
  json.update(measured);
  require_writable_folder(folder_of(path));
  write_file_atomic(path, json.dump(1) + "\n");
}

}  // namespace kvcomm::bench
