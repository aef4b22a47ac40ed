// Scores: what the stored answers are worth by the accepted answers that are stored beside them.
#include <algorithm>
#include <cmath>
#include <thread>
#include <tuple>

#include "base/parallel.h"
#include "score/score.h"
#include "sweep/verify_parts.h"

namespace kvcomm {

namespace {

using Json = nlohmann::json;

// By data set, fingerprint and sample.
class Questions {
 public:
  Questions(Verifying& folder, Check& check) {
    for (const RunJournal& run : folder.journals.runs) {
      for (const QuestionRecord& question : run.questions) {
        ++check.checked;
        const auto [place, is_new] =
            questions_.emplace(std::tuple(question.dataset, question.fingerprint, question.sample),
                               Asked{&run, &question});
        const QuestionRecord& first = *place->second.question;
        const auto told = [](const QuestionRecord& of) {
          return std::tie(of.sample_id, of.question, of.answers);
        };
        if (is_new || told(first) == told(question)) continue;
        check.blame([&] {
          return fmt::format("{}: sample {} of {} is asked otherwise than in {}.",
                             folder.places.of(run, question), question.sample, question.dataset,
                             folder.places.of(*place->second.run, first));
        });
      }
    }
  }

  const QuestionRecord* of(const KnownCell& cell, uint32_t sample) const {
    const Json& dataset = cell.key.at("dataset");
    const auto found =
        questions_.find({cell.cell.dataset, dataset.at("fingerprint").get<std::string>(), sample});
    return found == questions_.end() ? nullptr : found->second.question;
  }

 private:
  struct Asked {
    const RunJournal* run = nullptr;
    const QuestionRecord* question = nullptr;
  };
  std::map<std::tuple<std::string, std::string, uint32_t>, Asked> questions_;
};

// Whether this machine can score as the key was scored; nothing: it cannot.
std::optional<Lemmas> lemmas_of(const Json& key) {
  const std::string metric = key.at("metric"), normalisation = key.at("normalisation"),
                    lemmas = key.value("lemmas", "");
  for (const Lemmas way : {Lemmas::kIfInstalled, Lemmas::kWithout}) {
    if (normalisation_name(metric, way) == normalisation &&
        lemmas_fingerprint(metric, way) == lemmas) {
      return way;
    }
  }
  return std::nullopt;
}

bool is_score(double score) { return score >= 0 && score <= 1; }
bool equal(double stored, double again) { return std::abs(stored - again) < 1e-9; }

// What is wrong with an answer's score, "" for nothing; or why that cannot be told.
struct Judgement {
  std::string wrong, untold;
};

Judgement judge(const KnownCell& cell, const QuestionRecord* question, const std::string& answer,
                double stored) {
  if (!is_score(stored)) return {.wrong = fmt::format("the score {} is not in [0, 1]", stored)};
  if (question == nullptr) return {.untold = "no journal has the sample's accepted answers"};
  const std::optional<Lemmas> lemmas = lemmas_of(cell.key);
  if (!lemmas) {
    return {.untold = fmt::format("this machine does not score by '{}'{}",
                                  cell.key.at("normalisation").get<std::string>(),
                                  cell.key.contains("lemmas") ? " of that WordNet" : "")};
  }
  const double again =
      score(cell.key.at("metric").get<std::string>(), answer, question->answers, *lemmas);
  if (equal(stored, again)) return {};
  return {.wrong = fmt::format("the score is {}, and scoring {} again gives {}", stored,
                               in_quotes(answer), again)};
}

// Of a metric beside the cell's own the key does not say whether it compared lemmas; where these
// cannot be compared here, score() says so.
Judgement judge_further(const std::string& metric, const QuestionRecord& question,
                        const std::string& answer, double stored) {
  if (!is_score(stored)) {
    return {.wrong = fmt::format("the score {} by {} is not in [0, 1]", stored, metric)};
  }
  if (equal(stored, score(metric, answer, question.answers, Lemmas::kWithout))) return {};
  const double again = score(metric, answer, question.answers, Lemmas::kWith);
  if (equal(stored, again)) return {};
  return {.wrong = fmt::format("the score by {} is {}, and scoring {} again gives {}", metric,
                               stored, in_quotes(answer), again)};
}

Judgement judge_failed(const SampleRow& row) {
  const bool scores = row.score != 0 || !row.answer.empty() ||
                      std::ranges::any_of(row.further_scores,
                                          [](const auto& further) { return further.second != 0; });
  if (!scores) return {};
  return {.wrong = fmt::format("it failed, and has the answer {} with score {}",
                               in_quotes(row.answer), row.score)};
}

Judgement judge(const KnownCell& cell, const QuestionRecord* question, const SampleRow& row) {
  if (row.failed) return judge_failed(row);
  if (question != nullptr && question->sample_id != row.sample_id) {
    return {.wrong = fmt::format("it is '{}', and the question there is '{}'", row.sample_id,
                                 question->sample_id)};
  }
  Judgement judgement = judge(cell, question, row.answer, row.score);
  for (const auto& [metric, further] : row.further_scores) {
    if (question == nullptr || !judgement.wrong.empty()) break;
    Judgement more = judge_further(metric, *question, row.answer, further);
    if (!more.wrong.empty() || judgement.untold.empty()) judgement = std::move(more);
  }
  return judgement;
}

// Judges records of a run side by side, then tells of them in their order.
template <typename Record, typename Judge>
void judge_all(Verifying& folder, const RunJournal& run, const std::vector<Record>& records,
               const Judge& judge_one, Check& check) {
  constexpr size_t kTogether = 1000;
  std::vector<Judgement> judgements(records.size());
  in_parallel(0, (records.size() + kTogether - 1) / kTogether, std::thread::hardware_concurrency(),
              [&](size_t part) {
                const size_t end = std::min(records.size(), (part + 1) * kTogether);
                for (size_t i = part * kTogether; i < end; ++i) {
                  const auto cell = folder.cells.find(records[i].key);
                  if (cell == folder.cells.end()) {
                    judgements[i].untold = "no cell has the row's key";
                  } else {
                    judgements[i] = judge_one(cell->second, records[i]);
                  }
                }
              });
  for (size_t i = 0; i < records.size(); ++i) {
    if (!judgements[i].untold.empty()) {
      ++check.unchecked[judgements[i].untold];
      continue;
    }
    ++check.checked;
    if (judgements[i].wrong.empty()) continue;
    check.blame([&] {
      return fmt::format("{}: {}, sample {}: {}.", folder.places.of(run, records[i]),
                         folder.cells.at(records[i].key).name, records[i].sample,
                         judgements[i].wrong);
    });
  }
}

}  // namespace

Check check_scores(Verifying& folder) {
  Check check{.what = "questions, and scores by scoring the stored answers again"};
  const Questions questions(folder, check);
  const auto guarded = [](const auto& judge_one) {
    return [&judge_one](const KnownCell& cell, const auto& record) -> Judgement {
      try {
        return judge_one(cell, record);
      } catch (const std::exception& error) {
        return {.untold = error.what()};
      }
    };
  };
  const auto judge_row = [&](const KnownCell& cell, const SampleRow& row) {
    return judge(cell, questions.of(cell, row.sample), row);
  };
  const auto judge_choice = [&](const KnownCell& cell, const RecalibrationRecord& record) {
    return judge(cell, questions.of(cell, record.sample), record.answer, record.score);
  };
  for (const RunJournal& run : folder.journals.runs) {
    judge_all(folder, run, run.samples, guarded(judge_row), check);
    judge_all(folder, run, run.recalibrations, guarded(judge_choice), check);
  }
  return check;
}

}  // namespace kvcomm
