// What an output folder holds already, for a run that goes on from there.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "store/journal.h"

namespace kvcomm {

// The one rule by which one row of a (key, sample) is chosen among several, here and in results.h5:
// the first that did not fail; where all failed, the first. So a failed sample stays in n with
// score 0 until an attempt, of this run or a later one, succeeds, and a success is never undone.
inline bool replaces(const SampleRow& later, const SampleRow& earlier) {
  return earlier.failed && !later.failed;
}

class CompletedIndex {
 public:
  CompletedIndex() = default;
  explicit CompletedIndex(const Journals& journals);

  void add(const SampleRow& row);
  void add(const CalibrationRecord& record);
  void add(const RecalibrationRecord& record);

  bool empty() const { return samples_.empty(); }

  // A row that did not fail is there.
  bool is_done(const std::string& key, uint32_t sample) const;

  // Rows there are of it, failed or not: 0 where it was never tried. Whether a sample that failed
  // twice is tried again by a later run is the caller's to decide.
  uint32_t attempts(const std::string& key, uint32_t sample) const;

  // What was asked is written down already, with its contexts or not.
  bool has_question(const std::string& dataset, const std::string& fingerprint, uint32_t sample,
                    bool with_contexts) const;

  // [layers], or nullptr where it has not been measured.
  const std::vector<double>* importance(const std::string& calibration_key) const;

  // The layers that a cell chose anew by that sample, or nullptr where it has not yet.
  const std::vector<int32_t>* recalibrated(const std::string& key, uint32_t sample) const;

 private:
  struct State {
    uint32_t attempts = 0;
    bool done = false;
  };
  const State* find(const std::string& key, uint32_t sample) const;

  std::unordered_map<std::string, std::unordered_map<uint32_t, State>> samples_;
  std::map<std::string, std::vector<double>> importances_;
  std::map<std::pair<std::string, uint32_t>, std::vector<int32_t>> recalibrations_;
  // By data set, fingerprint and sample: whether contexts are there too.
  std::map<std::tuple<std::string, std::string, uint32_t>, bool> questions_;
};

}  // namespace kvcomm
