#include "data/folders.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "data/csv.h"
#include "data/formats.h"

namespace kvcomm {

namespace fs = std::filesystem;

namespace {

using Subjects = std::span<const std::string_view>;

// ---- TMATH

constexpr std::array<std::string_view, 7> kTmathSubjects = {
    "algebra",    "geometry",    "number_theory",           "intermediate_algebra",
    "prealgebra", "precalculus", "counting_and_probability"};

std::string hint_folder(std::string_view subject) { return fmt::format("hint_{}", subject); }

bool fits_tmath(const fs::path& folder, Subjects subjects) {
  return std::ranges::any_of(subjects, [&](std::string_view subject) {
    std::error_code error;
    return fs::is_directory(folder / hint_folder(subject), error);
  });
}

FolderRead read_tmath(const fs::path& folder, Subjects subjects) {
  FolderRead read;
  for (const std::string_view subject : subjects) {
    const std::string below = hint_folder(subject);
    std::error_code error;
    if (!fs::is_directory(folder / below, error)) continue;
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder / below, error)) {
      const std::string name = entry.path().filename().string();
      if (name.ends_with(".json") && !name.starts_with('.')) names.push_back(name);
    }
    if (error) {
      fail(Exit::kUsage, "Cannot read '{}': {}.", (folder / below).string(), error.message());
    }
    std::ranges::sort(names);
    for (const std::string& name : names) {
      read.files.push_back(fs::path(below) / name);
      const std::string place = read.files.back().generic_string();
      read.samples.push_back(*kTmath.read(read_record(folder / read.files.back(), place)));
    }
  }
  return read;
}

// ---- MMLU

constexpr std::array<std::string_view, 12> kSocialScience = {"econometrics",
                                                             "high_school_geography",
                                                             "high_school_government_and_politics",
                                                             "high_school_macroeconomics",
                                                             "high_school_microeconomics",
                                                             "high_school_psychology",
                                                             "human_sexuality",
                                                             "professional_psychology",
                                                             "public_relations",
                                                             "security_studies",
                                                             "sociology",
                                                             "us_foreign_policy"};

constexpr std::array<std::string_view, 18> kStem = {
    "abstract_algebra",         "astronomy",
    "college_biology",          "college_chemistry",
    "college_computer_science", "college_mathematics",
    "college_physics",          "computer_security",
    "conceptual_physics",       "electrical_engineering",
    "elementary_mathematics",   "high_school_biology",
    "high_school_chemistry",    "high_school_computer_science",
    "high_school_mathematics",  "high_school_physics",
    "high_school_statistics",   "machine_learning"};

constexpr std::array<std::string_view, 13> kHumanities = {"formal_logic",
                                                          "high_school_european_history",
                                                          "high_school_us_history",
                                                          "high_school_world_history",
                                                          "international_law",
                                                          "jurisprudence",
                                                          "logical_fallacies",
                                                          "moral_disputes",
                                                          "moral_scenarios",
                                                          "philosophy",
                                                          "prehistory",
                                                          "professional_law",
                                                          "world_religions"};

// "test/astronomy_test.csv"
fs::path split_file(std::string_view subject, std::string_view split) {
  return fs::path(split) / fmt::format("{}_{}.csv", subject, split);
}

bool has_split(const fs::path& folder, Subjects subjects, std::string_view split) {
  return std::ranges::any_of(subjects, [&](std::string_view subject) {
    return is_there(folder / split_file(subject, split));
  });
}

bool fits_mmlu(const fs::path& folder, Subjects subjects) {
  return has_split(folder, subjects, "test") || has_split(folder, subjects, "val");
}

struct Choice {
  std::string place;     // "astronomy_test.csv:12"
  std::string question;  // with its four choices, lettered
  std::string letter;
};

Choice choice_of(const CsvRow& row, const std::string& file) {
  const std::string place = fmt::format("{}:{}", file, row.line);
  const std::vector<std::string>& cells = row.cells;
  if (cells.size() != 6) {
    fail(Exit::kUsage, "{} has {} cells, six are needed: question, four choices, letter.", place,
         cells.size());
  }
  if (strip(cells[0]).empty()) {
    fail(Exit::kUsage, "{}: its question is empty: correct the record or take it out.", place);
  }
  if (cells[5].size() != 1 || cells[5][0] < 'A' || cells[5][0] > 'D') {
    fail(Exit::kUsage, "{}: the answer is '{}', one of A, B, C, D is needed.", place, cells[5]);
  }
  return {place,
          fmt::format("{}\nA. {}\nB. {}\nC. {}\nD. {}", cells[0], cells[1], cells[2], cells[3],
                      cells[4]),
          cells[5]};
}

std::vector<Choice> read_choices(const fs::path& file) {
  std::vector<Choice> choices;
  CsvReader rows(file);
  for (auto row = rows.next(); row; row = rows.next()) {
    choices.push_back(choice_of(*row, file.filename().string()));
  }
  return choices;
}

std::string solved(const std::vector<Choice>& examples) {
  std::vector<std::string> texts;
  for (const Choice& example : examples) {
    texts.push_back(fmt::format("{}\nAnswer: {}", example.question, example.letter));
  }
  return join(texts, "\n\n");
}

FolderRead read_mmlu(const fs::path& folder, Subjects subjects) {
  FolderRead read;
  const std::string_view split = has_split(folder, subjects, "test") ? "test" : "val";
  for (const std::string_view subject : subjects) {
    const fs::path file = split_file(subject, split), examples_file = split_file(subject, "dev");
    if (!is_there(folder / file)) continue;
    const std::string examples =
        is_there(folder / examples_file) ? solved(read_choices(folder / examples_file)) : "";
    if (examples.empty()) {
      fail(Exit::kUsage,
           "'{}' holds no solved examples, which are the context of {}'s questions: add MMLU's dev "
           "files.",
           (folder / examples_file).string(), subject);
    }
    for (Choice& choice : read_choices(folder / file)) {
      read.samples.push_back({.id = choice.place,
                              .contexts = {examples},
                              .question = std::move(choice.question),
                              .answers = {std::move(choice.letter)}});
    }
    read.files.insert(read.files.end(), {file, examples_file});
  }
  return read;
}

}  // namespace

fs::path root_of(const FolderForm& form, const fs::path& folder) {
  for (const fs::path& root : {folder, folder / "TMATH", folder / "data"}) {
    if (form.fits(root, form.subjects)) return root;
  }
  return {};
}

FolderForm tmath_folder() {
  return {"hint_algebra/hint_1.json", kTmathSubjects, fits_tmath, read_tmath};
}

FolderForm mmlu_folder(Subjects subjects) {
  return {"test/<subject>_test.csv", subjects, fits_mmlu, read_mmlu};
}

Subjects mmlu_social_science() { return kSocialScience; }
Subjects mmlu_stem() { return kStem; }
Subjects mmlu_humanities() { return kHumanities; }

}  // namespace kvcomm
