#include "data/csv.h"

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/files.h"
#include "base/utf8.h"

namespace kvcomm {

namespace {

constexpr int kEnd = std::char_traits<char>::eof();

}  // namespace

CsvReader::CsvReader(const std::filesystem::path& file)
    : path_(file), name_(file.string()), in_(file, std::ios::binary) {
  if (!in_) fail(Exit::kUsage, "Cannot read '{}': {}.", file.string(), std::strerror(errno));
  std::string start(kByteOrderMark.size(), '\0');
  in_.read(start.data(), static_cast<std::streamsize>(start.size()));
  in_.clear();
  if (start != kByteOrderMark) in_.seekg(0);
}

int CsvReader::peek() { return in_.rdbuf()->sgetc(); }

int CsvReader::get() {
  const int c = in_.rdbuf()->sbumpc();
  if (c == '\n') ++line_;
  return c;
}

void CsvReader::skip_line_end() {
  if (peek() == '\r') get();
  if (peek() == '\n') get();
}

std::string CsvReader::quoted_cell() {
  const size_t first_line = line_;
  std::string cell;
  get();
  while (true) {
    const int c = get();
    if (c == kEnd) {
      fail(Exit::kUsage, "{}:{} is cut off: a quote opens there that nothing closes.", name_,
           first_line);
    }
    if (c == '"') {
      if (peek() != '"') break;
      get();
    }
    cell += static_cast<char>(c);
  }
  const int after = peek();
  if (after != ',' && after != '\r' && after != '\n' && after != kEnd) {
    fail(Exit::kUsage, "{}:{}: text goes on behind a closing quote: double the quotes in a cell.",
         name_, line_);
  }
  return cell;
}

std::string CsvReader::plain_cell() {
  std::string cell;
  for (int c = peek(); c != ',' && c != '\n' && c != kEnd; c = peek()) {
    cell += static_cast<char>(get());
  }
  if (cell.ends_with('\r')) cell.pop_back();
  return cell;
}

std::optional<CsvRow> CsvReader::next() {
  return reading(path_, [&] { return next_row(); });
}

std::optional<CsvRow> CsvReader::next_row() {
  while (peek() == '\r' || peek() == '\n') skip_line_end();
  if (peek() == kEnd) return std::nullopt;
  CsvRow row{.line = line_};
  while (true) {
    row.cells.push_back(peek() == '"' ? quoted_cell() : plain_cell());
    const std::string& cell = row.cells.back();
    if (find_broken_utf8(cell)) {
      fail(Exit::kUsage, "{}:{} is no UTF-8 in its column {}: convert the file to UTF-8.", name_,
           row.line, row.cells.size());
    }
    if (peek() != ',') break;
    get();
  }
  skip_line_end();
  return row;
}

}  // namespace kvcomm
