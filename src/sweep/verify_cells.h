// What a folder's keys say of their rows, as far as `verify` needs it: the method, its closed form,
// the shapes of the models; and where records stand.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "comm/message.h"
#include "method/type.h"
#include "model/config.h"
#include "store/journal.h"

namespace kvcomm {

// A key with rows or a cell's record.
struct KnownCell {
  CellRecord cell;      // the newest record of the key, with layers where any record has them
  nlohmann::json key;   // what key_json says
  std::string name;     // "kvcomm(ratio=0.5) on demo of smol"
  std::string unknown;  // why the closed form of its bytes is not known; "": it is
  // ---- only where it is known
  MethodSpec spec;
  Fidelity fidelity;
  Profile profile;
  size_t senders = 1;
  int64_t element = 0;              // bytes of one number
  std::optional<PayloadKind> kind;  // none: nothing is sent
  ModelConfig shape;                // of the senders' models, as far as bytes need it

  int64_t kv_row() const { return shape.kv_bytes_per_token(element); }  // in one layer
};

// By key. The shapes are those of the models' config.json where the folders are at hand and hold
// what ran (known_fingerprint), else what the first row that sent something shows.
std::map<std::string, KnownCell> known_cells(const Journals& journals);

// The layers that the cell's method chooses: by its parameters alone, or also by importances. Fails
// as MethodType::choose does.
std::vector<int> chosen_layers(const KnownCell& cell, const std::vector<double>& importance);

// Payload of a row, by the closed form of its method.
struct PayloadForm {
  uint64_t payload = 0;
  uint64_t layers_sent = 0;
  std::vector<uint64_t> layer_bytes;  // keys and values by layer; empty without
  std::vector<uint64_t> senders;      // payload of each, where there are several
};
// chosen: the layers of a method that shares some.
PayloadForm payload_form(const KnownCell& cell, const SampleRow& row,
                         const std::vector<int>& chosen);

// A text in a sentence: in quotes, on one line, cut where it is long.
std::string in_quotes(std::string_view text);

// Where records stand: "results/x/journal/y.jsonl:17". Lines are looked up when asked.
class Places {
 public:
  std::string of(const RunJournal& run, const SampleRow& row) {
    return place(run, &RunJournal::samples, row);
  }
  std::string of(const RunJournal& run, const CellRecord& record) {
    return place(run, &RunJournal::cells, record);
  }
  std::string of(const RunJournal& run, const CalibrationRecord& record) {
    return place(run, &RunJournal::calibrations, record);
  }
  std::string of(const RunJournal& run, const RecalibrationRecord& record) {
    return place(run, &RunJournal::recalibrations, record);
  }
  std::string of(const RunJournal& run, const QuestionRecord& record) {
    return place(run, &RunJournal::questions, record);
  }

 private:
  template <typename Record>
  std::string place(const RunJournal& run, std::vector<Record> RunJournal::*records,
                    const Record& record) {
    std::vector<size_t>& lines = lines_[run.file.string() + " " + std::string(Record::kType)];
    if (lines.empty()) lines = lines_of(run.file, records);
    const auto index = static_cast<size_t>(&record - (run.*records).data());
    return fmt::format("{}:{}", run.file.string(), index < lines.size() ? lines[index] : 0);
  }

  std::map<std::string, std::vector<size_t>> lines_;  // by file and type
};

}  // namespace kvcomm
