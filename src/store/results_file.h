// A results.h5 or all.h5 taken apart: its tables and columns by name.
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"
#include "store/h5.h"

namespace kvcomm {

// The root attribute `schema` of every file of this kind.
inline constexpr std::string_view kResultsSchema = "kvcomm-results";

// Fails (kUsage) where something lies at the path that is no results file of this program: nothing
// else is ever replaced.
void require_replaceable(const std::filesystem::path& path);

// The file itself, or a folder's results.h5.
std::filesystem::path results_path(const std::filesystem::path& file_or_folder);

// Reads the file; one that this program did not write as results is refused (kUsage).
H5Content read_results(const std::filesystem::path& path);

// A root attribute, "" where there is none.
std::string attribute(const H5Content& content, const std::string& name);

// nullptr where the file has none: it may be older than the table, or than the column.
Table* find_table(H5Content& content, const std::string& name);
template <typename Value>
std::vector<Value>* find_column(Table& table, const std::string& name) {
  const auto found = std::ranges::find(table.columns, name, &Column::name);
  return found == table.columns.end() ? nullptr : std::get_if<std::vector<Value>>(&found->values);
}

// Those that every version has written; refused (kUsage) where they are missing.
Table& table(H5Content& content, const std::string& name);
template <typename Value>
std::vector<Value>& column(Table& table, const std::string& name) {
  if (std::vector<Value>* values = find_column<Value>(table, name)) return *values;
  fail(Exit::kUsage, "The table '{}' has no column '{}' of the type that this program writes.",
       table.name, name);
}

}  // namespace kvcomm
