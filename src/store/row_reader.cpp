#include "store/row_reader.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <limits>
#include <stdexcept>

namespace kvcomm {

namespace {

using Value = simdjson::dom::element;

// JSON has no NaN: it is written as null.
void set(double& to, const Value& value) { to = value.is_null() ? kNone : double{value}; }
void set(bool& to, const Value& value) { to = bool{value}; }
void set(std::string& to, const Value& value) { to = std::string_view{value}; }
void set(uint64_t& to, const Value& value) { to = uint64_t{value}; }
void set(uint32_t& to, const Value& value) {
  const uint64_t all{value};
  if (all > std::numeric_limits<uint32_t>::max()) {
    throw std::out_of_range(fmt::format("{} is no number of a sample or an attempt", all));
  }
  to = static_cast<uint32_t>(all);
}
void set(std::vector<uint64_t>& to, const Value& value) {
  to.clear();
  for (const Value one : value.get_array()) set(to.emplace_back(), one);
}
void set(std::map<std::string, double>& to, const Value& value) {
  to.clear();
  for (const auto& [key, one] : value.get_object()) set(to[std::string(key)], one);
}

void set(std::vector<SenderPart>& to, const Value& value) {
  to.clear();
  for (const Value one : value.get_array()) {
    SenderPart& part = to.emplace_back();
    set(part.context_tokens, one["context_tokens"]);
    if (uint64_t said = 0; !one["output_tokens"].get(said)) part.output_tokens = said;
    set(part.payload_bytes, one["payload_bytes"]);
    set(part.header_bytes, one["header_bytes"]);
    set(part.prefill_s, one["prefill_s"]);
  }
}

struct Field {
  std::string_view name;
  void (*set)(SampleRow& row, const Value& value);
};

// By name, as they are written.
const auto& fields() {
#define KVC_FIELD(name) \
  Field{#name, [](SampleRow& row, const Value& value) { set(row.name, value); }},
#define KVC_COLUMN(type, name, units, in_samples, in_cells, absent) KVC_FIELD(name)
  static const auto sorted = [] {
    auto all = std::to_array<Field>({KVC_SAMPLE_FIELDS(KVC_FIELD) KVC_SAMPLE_COLUMNS(KVC_COLUMN)});
    std::ranges::sort(all, {}, &Field::name);
    return all;
  }();
#undef KVC_COLUMN
#undef KVC_FIELD
  return sorted;
}

}  // namespace

struct RowReader::Parser {
  simdjson::dom::parser json;
};

const size_t RowReader::kPadding = simdjson::SIMDJSON_PADDING;

RowReader::RowReader() : parser_(std::make_unique<Parser>()) {}
RowReader::~RowReader() = default;

std::optional<std::string> RowReader::read(std::string_view line, SampleRow& row) {
  try {
    const simdjson::dom::object object =
        parser_->json.parse(line.data(), line.size(), /*realloc_if_needed=*/false);
    auto next = fields().begin();
    for (const auto& [name, value] : object) {
      if (next == fields().end() || next->name != name) {
        next = std::ranges::lower_bound(fields(), name, {}, &Field::name);
      }
      if (next == fields().end() || next->name != name) continue;
      next->set(row, value);
      ++next;
    }
  } catch (const std::out_of_range& error) {
    return error.what();
  } catch (const simdjson::simdjson_error&) {
    return std::nullopt;
  }
  return "";
}

}  // namespace kvcomm
