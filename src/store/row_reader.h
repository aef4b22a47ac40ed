// Reads a journal's sample lines, of which a folder may hold hundreds of thousands, as this program
// writes them; all other lines go through nlohmann's JSON (rows.h).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "store/rows.h"

namespace kvcomm {

class RowReader {
 public:
  RowReader();
  ~RowReader();

  // Bytes that must be readable behind a line.
  static const size_t kPadding;

  // The row of a JSON object. Fields that it lacks keep their defaults, others are passed over.
  // Returns what is wrong with the line, "" for nothing. Nothing: it is not as this program writes
  // them (a whole number with a point, one that no type holds), and the row is half filled in.
  std::optional<std::string> read(std::string_view line, SampleRow& row);

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

}  // namespace kvcomm
