// The keys of each table, once: reading, unknown keys' near misses and printing all go through
// visit_keys(table, visit), which calls visit(key, member, range) in the documentation's order.
#pragma once

#include <algorithm>
#include <concepts>
#include <string>
#include <type_traits>
#include <vector>

#include "config/config.h"
#include "config/source.h"

namespace kvcomm {

template <typename T, typename Table>
concept IsTable = std::same_as<std::remove_const_t<T>, Table>;

inline constexpr Range kAnyNumber{};
inline constexpr Range kZeroOrMore{.from = 0};
inline constexpr Range kOneOrMore{.from = 1};
inline constexpr Range kAboveZero{.from = 0, .above_from = true};
inline constexpr Range kZeroToOne{.from = 0, .to = 1};
inline constexpr Range kPlace{.from = 0, .to = 1'000'000};  // of a token, within an int
inline constexpr Range kTokens{.from = 1, .to = 1'000'000};

void visit_keys(IsTable<RunConfig> auto& run, auto&& visit) {
  visit("name", run.name, kAnyNumber);
  visit("output", run.output, kAnyNumber);
  visit("fidelity", run.fidelity, kAnyNumber);
  visit("dtype", run.dtype, kAnyNumber);
  visit("device", run.device, kAnyNumber);
  visit("transport", run.transport, kAnyNumber);
  visit("limit", run.limit, kZeroOrMore);
  visit("batch", run.batch, kZeroOrMore);
  visit("prefill_tokens", run.prefill_tokens, kOneOrMore);
  visit("reuse_prefixes", run.reuse_prefixes, kAnyNumber);
  visit("seed", run.seed, kZeroOrMore);
  visit("max_input_tokens", run.max_input_tokens, kOneOrMore);
  visit("threads", run.threads, kZeroOrMore);
  visit("timeout_s", run.timeout_s, kAboveZero);
  visit("grace_s", run.grace_s, kZeroOrMore);
  visit("date", run.date, kAnyNumber);
  visit("placement", run.placement, kAnyNumber);
  visit("store_contexts", run.store_contexts, kAnyNumber);
}

void visit_keys(IsTable<PathsConfig> auto& paths, auto&& visit) {
  visit("models", paths.models, kAnyNumber);
  visit("data", paths.data, kAnyNumber);
  visit("prompts", paths.prompts, kAnyNumber);
}

void visit_keys(IsTable<Fidelity> auto& fidelity, auto&& visit) {
  visit("layer_count", fidelity.layer_count, kAnyNumber);
  visit("keep_layer0", fidelity.keep_layer0, kAnyNumber);
  visit("sink_token", fidelity.sink_token, kAnyNumber);
  visit("importance_from", fidelity.importance_from, kPlace);
  visit("importance_mask", fidelity.importance_mask, kAnyNumber);
  visit("prior", fidelity.prior, kAnyNumber);
  visit("unselected_prefill", fidelity.unselected_prefill, kAnyNumber);
  visit("shifted_start", fidelity.shifted_start, kPlace);
  visit("generation", fidelity.generation, kAnyNumber);
  visit("phase1_tokens", fidelity.phase1_tokens, kTokens);
  visit("sender_aware", fidelity.sender_aware, kAnyNumber);
  visit("recalibration_scored", fidelity.recalibration_scored, kAnyNumber);
  visit("tie_other_head", fidelity.tie_other_head, kAnyNumber);
  visit("clean_up_spaces", fidelity.clean_up_spaces, kAnyNumber);
}

void visit_keys(IsTable<PairConfig> auto& pair, auto&& visit) {
  visit("name", pair.name, kAnyNumber);
  visit("sender", pair.senders, kAnyNumber);
  visit("receiver", pair.receiver, kAnyNumber);
  visit("alpha", pair.alpha, kZeroToOne);
  visit("mu", pair.mu, kAnyNumber);
  visit("sigma", pair.sigma, kAboveZero);
  visit("sender_thinks", pair.sender_thinks, kAnyNumber);
  visit("receiver_thinks", pair.receiver_thinks, kAnyNumber);
  visit("think_end", pair.think_end, kAnyNumber);
}

void visit_keys(IsTable<DatasetConfig> auto& dataset, auto&& visit) {
  visit("name", dataset.name, kAnyNumber);
  visit("path", dataset.path, kAnyNumber);
  visit("context", dataset.context, kAnyNumber);
  visit("question", dataset.question, kAnyNumber);
  visit("answers", dataset.answers, kAnyNumber);
  visit("id", dataset.id, kAnyNumber);
  visit("metric", dataset.metric, kAnyNumber);
  visit("prompts", dataset.prompts, kAnyNumber);
  visit("limit", dataset.limit, kZeroOrMore);
  visit("max_new_tokens", dataset.max_new_tokens, kOneOrMore);
  visit("shuffle", dataset.shuffle, kAnyNumber);
}

// How a member's C++ type is read from JSON and written to it.
template <typename T>
struct ValueOf {  // an enumeration
  static constexpr ParameterType kType = ParameterType::kText;
  static std::vector<std::string> choices() {
    const auto names = names_of(T{});
    return {names.begin(), names.end()};
  }
  static T from(const nlohmann::json& value) {
    const auto names = names_of(T{});
    return static_cast<T>(std::ranges::find(names, value.get<std::string>()) - names.begin());
  }
  static nlohmann::json to(T value) { return to_text(value); }
};

template <typename T, ParameterType type>
struct PlainValue {
  static constexpr ParameterType kType = type;
  static std::vector<std::string> choices() { return {}; }
  static T from(const nlohmann::json& value) { return value.get<T>(); }
  static nlohmann::json to(const T& value) { return value; }
};
template <>
struct ValueOf<int64_t> : PlainValue<int64_t, ParameterType::kInteger> {};
template <>
struct ValueOf<int> : PlainValue<int, ParameterType::kInteger> {};
template <>
struct ValueOf<bool> : PlainValue<bool, ParameterType::kFlag> {};
template <>
struct ValueOf<double> : PlainValue<double, ParameterType::kReal> {};
template <>
struct ValueOf<std::string> : PlainValue<std::string, ParameterType::kText> {};
template <>
struct ValueOf<std::filesystem::path> : PlainValue<std::string, ParameterType::kText> {
  static nlohmann::json to(const std::filesystem::path& value) { return value.string(); }
};
template <typename T>
struct ValueOf<std::optional<T>> : ValueOf<T> {
  static nlohmann::json to(const std::optional<T>& value) {
    return value ? ValueOf<T>::to(*value) : nlohmann::json();
  }
};

template <>
struct ValueOf<std::vector<std::string>> {  // one text stands for a list of one
  static nlohmann::json to(const std::vector<std::string>& texts) {
    if (texts.empty()) return {};
    return texts.size() == 1 ? nlohmann::json(texts[0]) : nlohmann::json(texts);
  }
};

// The value under that key brought to its parameter's type; nothing where the key is absent, or
// where the value is wrong, which is reported.
std::optional<nlohmann::json> read_value(const GivenTable& table, const Parameter& parameter,
                                         Problems& problems);

// The texts under that key, where one may stand alone; nothing as above, or where none is.
std::vector<std::string> read_texts(const GivenTable& table, const std::string& key,
                                    Problems& problems);

void report_unknown_keys(const GivenTable& table, const std::vector<std::string>& known,
                         Problems& problems);

// A table's values over its defaults; what is wrong is reported and keeps its default.
template <typename Table>
Table read_table(const GivenTable& given, Problems& problems, Table table = {}) {
  std::vector<std::string> known;
  visit_keys(table, [&]<typename T>(const char* key, T& member, const Range& range) {
    known.push_back(key);
    if constexpr (std::same_as<T, std::vector<std::string>>) {
      member = read_texts(given, key, problems);
    } else {
      const Parameter parameter{
          .name = key, .type = ValueOf<T>::kType, .choices = ValueOf<T>::choices(), .range = range};
      if (const auto value = read_value(given, parameter, problems))
        member = ValueOf<T>::from(*value);
    }
  });
  report_unknown_keys(given, known, problems);
  return table;
}

// The [[dataset]]s, checked: the name, what the form of a known data set leaves to say, and what
// data of one's own need, which get their defaults.
std::vector<DatasetConfig> read_datasets(const std::vector<GivenTable>& tables, Problems& problems);

// Reports a name that cannot be a file's: names end up as names of files and in tables of the
// results.
void check_name(const std::string& name, const GivenTable& table, Problems& problems);

// Reports each name that is there already; the cure says what to do.
void check_unique(const std::vector<std::string>& names, const std::vector<GivenTable>& tables,
                  const std::string& cure, Problems& problems);

// Tables of methods with one table for each value of an array (of layers: for each list in a list);
// several arrays give every combination, the first parameter's values changing slowest.
std::vector<GivenTable> expand_arrays(std::vector<GivenTable> methods);

// Where methods' parameters take their values from that the table of methods gives none.
struct Defaults {
  int64_t seed = 0;
  Fidelity fidelity;
};

// What a method's table without arrays stands for; nothing where it is wrong, which is reported.
std::optional<MethodSpec> read_method(const GivenTable& given, const Defaults& defaults,
                                      Problems& problems);

}  // namespace kvcomm
