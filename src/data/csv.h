// Rows of a CSV file (RFC 4180): cells in quotes may hold commas, line ends and doubled quotes.
#pragma once

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

namespace kvcomm {

struct CsvRow {
  std::vector<std::string> cells;
  size_t line;  // the one it begins on
};

class CsvReader {
 public:
  // Fails (kUsage) if the file cannot be read.
  explicit CsvReader(const std::filesystem::path& file);

  // The next row, none at the end; empty lines are passed over. Memory holds one row. Fails
  // (kUsage), with file and line: an open quote, text behind a closing one, what is no UTF-8.
  std::optional<CsvRow> next();

 private:
  std::optional<CsvRow> next_row();
  std::string quoted_cell();
  std::string plain_cell();
  void skip_line_end();
  int peek();
  int get();

  std::filesystem::path path_;
  std::string name_;
  std::ifstream in_;
  size_t line_ = 1;
};

}  // namespace kvcomm
