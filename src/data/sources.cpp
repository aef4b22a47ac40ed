#include "data/sources.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/text.h"

namespace kvcomm {

namespace {

constexpr const char *kF1 = "f1_match", *kRouge = "rouge_l_recall", *kEdit = "edit_similarity",
                     *kAccuracy = "accuracy";
constexpr bool kTruncates = true;
constexpr size_t kAll = 0, kAny = 0;

// Other names that the paper's data sets have.
const std::map<std::string_view, std::string_view> kOtherNames = {
    {"2wikimqa", "twowikimqa"},
    {"2wikimultihopqa", "twowikimqa"},
    {"longbench_2wikimqa", "twowikimqa"},
    {"longbench_multifieldqa_en", "multifieldqa_en"},
    {"repobench-p", "longbench_repobench-p"}};

}  // namespace

// Name, kind, metric, new tokens, records, samples of the shuffle, truncates; forms; LongBench's
// name (reference: the paper's table of data sets, and official_behaviour.md, "sampling", 5, 8, 17;
// the longbench_ ones as LongBench itself, but for the line of code that repobench-p compares,
// which is RepoBench's).
const std::vector<Source>& sources() {
  using enum Dealt;
  static const std::vector<const Form*> kHotpots{&kHotpot, &kHotpotHub};
  static const std::vector<const Form*> kLongBenches{&kLongBench, &kLongBenchHub};
  static const std::vector<Source> table = {
      {{"countries", "qa", kF1, 5, 200, kAll, !kTruncates}, {&kCountries}},
      {{"tipsheets", "qa", kF1, 10, 500, kAll, !kTruncates}, {&kTipsheets}},
      {{"demo", "qa", "includes", 16, kAny, kAll, !kTruncates}, {&kDemo}, "", {}, kSentences},
      {{"hotpotqa", "qa", kF1, 48, 7405, 500, kTruncates}, kHotpots, "", {}, kTexts},
      {{"hotpotqa_full", "qa", kF1, 48, 7405, kAll, kTruncates}, kHotpots, "", {}, kTexts},
      {{"qasper", "qa", kF1, 128, 1726, 500, kTruncates}, {&kScrolls}},
      {{"qasper_full", "qa", kF1, 128, 1726, kAll, kTruncates}, {&kScrolls}},
      {{"musique", "qa", kF1, 48, 2417, 500, kTruncates}, {&kMusique}, "", {}, kTexts},
      {{"musique_full", "qa", kF1, 48, 2417, kAll, kTruncates}, {&kMusique}, "", {}, kTexts},
      {{"multifieldqa_en", "qa", kF1, 64, 150, kAll, kTruncates}, kLongBenches, "multifieldqa_en"},
      {{"twowikimqa", "qa", kF1, 32, 200, kAll, kTruncates},
       kLongBenches,
       "2wikimqa",
       {},
       kPassages},
      {{"tmath", "math", kRouge, 256, 4043, 300, kTruncates}, {}, "", tmath_folder()},
      {{"samsum", "summary", kRouge, 300, 819, kAll, kTruncates}, {&kSamsum}},
      {{"repobench", "code", kEdit, 100, kAny, 1000, kTruncates}, {&kRepoBench}},
      {{"mmlu_social_science", "choice", kAccuracy, 5, 3077, kAll, kTruncates},
       {},
       "",
       mmlu_folder(mmlu_social_science())},
      {{"mmlu_stem", "choice", kAccuracy, 5, 3018, kAll, kTruncates},
       {},
       "",
       mmlu_folder(mmlu_stem())},
      {{"mmlu_humanities", "choice", kAccuracy, 5, 4705, kAll, kTruncates},
       {},
       "",
       mmlu_folder(mmlu_humanities())},
      {{"longbench_hotpotqa", "qa", kF1, 32, 200, kAll, kTruncates}, kLongBenches, "hotpotqa"},
      {{"longbench_musique", "qa", kF1, 32, 200, kAll, kTruncates}, kLongBenches, "musique"},
      {{"longbench_qasper", "qa", kF1, 128, 200, kAll, kTruncates}, kLongBenches, "qasper"},
      {{"longbench_repobench-p", "code", kEdit, 64, 500, kAll, kTruncates},
       kLongBenches,
       "repobench-p"},
      {.info = {"countries+tipsheets", "qa", kF1, 10, 700, kAll, !kTruncates},
       .parts = {"countries", "tipsheets"}},
      {.info = {"countries+multifieldqa_en", "qa", kF1, 64, 350, kAll, kTruncates},
       .parts = {"countries", "multifieldqa_en"}},
  };
  return table;
}

const Source& source_of(std::string_view name) {
  std::vector<std::string> names;
  for (const Source& source : sources()) {
    if (source.info.name == name) return source;
    names.push_back(source.info.name);
  }
  if (const auto other = kOtherNames.find(name); other != kOtherNames.end()) {
    fail(Exit::kUsage, "The data set '{}' is called '{}' here.", name, other->second);
  }
  fail(Exit::kUsage, "Unknown data set '{}'.{} Known: {}.", name, did_you_mean(name, names),
       join(names, ", "));
}

bool belongs_to(const Source& source, const Record& record) {
  const bool fits =
      std::ranges::any_of(source.forms, [&](const Form* form) { return form->fits(record); });
  return fits && (source.longbench_part.empty() || longbench_part(record) == source.longbench_part);
}

}  // namespace kvcomm
