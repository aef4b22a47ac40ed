#include "store/completed.h"

namespace kvcomm {

CompletedIndex::CompletedIndex(const Journals& journals) {
  for (const RunJournal& run : journals.runs) {
    for (const SampleRow& row : run.samples) add(row);
    for (const CalibrationRecord& record : run.calibrations) add(record);
    for (const RecalibrationRecord& record : run.recalibrations) add(record);
    for (const QuestionRecord& asked : run.questions) {
      questions_[{asked.dataset, asked.fingerprint, asked.sample}] |= !asked.contexts.empty();
    }
  }
}

void CompletedIndex::add(const SampleRow& row) {
  State& state = samples_[row.key][row.sample];
  ++state.attempts;
  state.done = state.done || !row.failed;
}

void CompletedIndex::add(const CalibrationRecord& record) {
  importances_.emplace(record.key, record.importance);  // the first is kept
}

void CompletedIndex::add(const RecalibrationRecord& record) {
  recalibrations_.emplace(std::pair(record.key, record.sample), record.layers);  // likewise
}

const std::vector<int32_t>* CompletedIndex::recalibrated(const std::string& key,
                                                         uint32_t sample) const {
  const auto found = recalibrations_.find({key, sample});
  return found == recalibrations_.end() ? nullptr : &found->second;
}

bool CompletedIndex::is_done(const std::string& key, uint32_t sample) const {
  const State* state = find(key, sample);
  return state != nullptr && state->done;
}

uint32_t CompletedIndex::attempts(const std::string& key, uint32_t sample) const {
  const State* state = find(key, sample);
  return state == nullptr ? 0 : state->attempts;
}

bool CompletedIndex::has_question(const std::string& dataset, const std::string& fingerprint,
                                  uint32_t sample, bool with_contexts) const {
  const auto found = questions_.find({dataset, fingerprint, sample});
  return found != questions_.end() && (found->second || !with_contexts);
}

const std::vector<double>* CompletedIndex::importance(const std::string& calibration_key) const {
  const auto found = importances_.find(calibration_key);
  return found == importances_.end() ? nullptr : &found->second;
}

const CompletedIndex::State* CompletedIndex::find(const std::string& key, uint32_t sample) const {
  const auto of_key = samples_.find(key);
  if (of_key == samples_.end()) return nullptr;
  const auto found = of_key->second.find(sample);
  return found == of_key->second.end() ? nullptr : &found->second;
}

}  // namespace kvcomm
