// results.h5 beside its journals.
#include <algorithm>
#include <cmath>
#include <map>
#include <variant>

#include "base/files.h"
#include "store/results_file.h"
#include "sweep/verify_parts.h"

namespace kvcomm {

namespace fs = std::filesystem;

namespace {

std::string value_text(const std::string& text) { return in_quotes(text); }
std::string value_text(const auto& number) { return fmt::format("{}", number); }

// Means may differ in their last bits between builds of the program.
bool same(double one, double other) {
  constexpr double kRounding = 1e-12;
  return one == other || (std::isnan(one) && std::isnan(other)) ||
         std::abs(one - other) <= kRounding * std::max(std::abs(one), std::abs(other));
}
bool same(const auto& one, const auto& other) { return one == other; }

// The rows of /runs that tell how far a file's journals were.
std::map<std::string, uint64_t> rows_by_run(H5Content& content) {
  Table& runs = table(content, "runs");
  const auto& ids = column<std::string>(runs, "run_id");
  const auto& rows = column<uint64_t>(runs, "rows");
  std::map<std::string, uint64_t> counts;
  for (size_t i = 0; i < ids.size(); ++i) counts[ids[i]] += rows[i];
  return counts;
}

// Newer than the file, where both are on one file system, whose clock they share.
bool any_is_newer(const std::vector<RunJournal>& journals, const fs::path& file) {
  std::error_code gone;
  const auto written = fs::last_write_time(file, gone);
  return std::ranges::any_of(journals, [&](const RunJournal& journal) {
    return fs::last_write_time(journal.file, gone) > written;
  });
}

class Comparison {
 public:
  Comparison(std::string file, H5Content& stored, H5Content& formed, Check& check)
      : file_(std::move(file)), stored_(stored), formed_(formed), check_(check) {}

  void run() {
    for (const auto& [name, text] : formed_.attributes) {
      ++check_.checked;
      const auto stored =
          std::ranges::find(stored_.attributes, name, &Attributes::value_type::first);
      if (stored == stored_.attributes.end()) {
        is_of_older_program = true;
      } else if (stored->second != text) {
        blame("the attribute {} is {}, and of the journals {}", name, value_text(stored->second),
              value_text(text));
      }
    }
    for (Table& formed : formed_.tables) {
      Table* stored = find_table(stored_, formed.name);
      if (stored == nullptr) {
        is_of_older_program = true;
      } else if (stored->rows != formed.rows) {
        blame("/{} has {} rows, and of the journals {}", formed.name, stored->rows, formed.rows);
      } else {
        for (const Column& column : formed.columns) compare(*stored, column);
      }
    }
  }

  bool is_of_older_program = false;  // it lacks a table, a column or an attribute

 private:
  template <typename... Args>
  void blame(fmt::format_string<Args...> format, Args&&... args) {
    check_.blame([&] {
      return fmt::format("{}: {}.", file_, fmt::format(format, std::forward<Args>(args)...));
    });
  }

  void compare(const Table& table, const Column& formed) {
    const auto stored = std::ranges::find(table.columns, formed.name, &Column::name);
    if (stored == table.columns.end()) {
      is_of_older_program = true;
      return;
    }
    std::visit(
        [&]<typename Values>(const Values& values) {
          const auto* theirs = std::get_if<Values>(&stored->values);
          if (theirs == nullptr) {
            return blame("/{}, column {} is of another type", table.name, formed.name);
          }
          for (size_t row = 0; row < values.size(); ++row) {
            ++check_.checked;
            if (same((*theirs)[row], values[row])) continue;
            blame("/{}, row {}, column {} is {}, and of the journals {}", table.name, row,
                  formed.name, value_text((*theirs)[row]), value_text(values[row]));
          }
        },
        formed.values);
  }

  std::string file_;
  H5Content &stored_, &formed_;
  Check& check_;
};

}  // namespace

Check check_results(const fs::path& output, const Results& results,
                    std::vector<std::string>& missing) {
  Check check{.what = "values of results.h5 by the journals"};
  const fs::path file = output / "results.h5";
  if (!is_there(file)) {
    missing.push_back(fmt::format("There is no '{}': `kvcomm merge {}` writes it.", file.string(),
                                  output.string()));
    return check;
  }
  const auto merge_writes = [&](const char* why) {
    missing.push_back(fmt::format("'{}' {}: `kvcomm merge {}` writes it anew.", file.string(), why,
                                  output.string()));
  };
  try {
    H5Content stored = read_results(file), formed = content_of(results);
    Comparison comparison(file.string(), stored, formed, check);
    comparison.run();
    if (comparison.is_of_older_program)
      merge_writes("lacks what this version of the program tells");
    if (check.wrong.empty()) return check;
    // The journals may have gone on since it was written, but never back.
    const auto before = rows_by_run(stored), now = rows_by_run(formed);
    const bool went_on = std::ranges::all_of(before, [&](const auto& run) {
      const auto found = now.find(run.first);
      return found != now.end() && run.second <= found->second;
    });
    if (went_on && (before != now || any_is_newer(results.journals.runs, file))) {
      merge_writes("is older than the journals");
      check.wrong.clear();
      check.more_wrong = 0;
    }
  } catch (const Error& error) {
    check.blame([&] { return std::string(error.what()); });
  }
  return check;
}

}  // namespace kvcomm
