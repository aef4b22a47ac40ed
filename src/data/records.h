// Records of a data file, each with the place it stands at, and their fields with the errors that
// name it.
#pragma once

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/csv.h"

namespace kvcomm {

class Record {
 public:
  // Fails (kUsage) where fields is no object.
  Record(nlohmann::json fields, std::string place);

  // "countries.jsonl:17", or "countries.json[16]" in an array.
  const std::string& place() const { return place_; }

  // All that follow fail (kUsage), with the place, on what is missing or of another type.
  const nlohmann::json& field(std::string_view name) const;
  std::string text(std::string_view name) const;                // not blank
  std::string text_or_blank(std::string_view name) const;       // may be empty
  std::vector<std::string> texts(std::string_view name) const;  // an array of at least one

  // A value that was found in it, as text() gives a field's.
  std::string text_of(const nlohmann::json& value, std::string_view name) const;

  // The record's own id, a text or a whole number; its place where it has no such field.
  std::string id(std::string_view name) const;

  // What recognising a form by its fields asks; these never fail.
  bool has(std::string_view name) const { return fields_.contains(name); }
  bool has_text(std::string_view name) const;

  // The field of that name, or else what a dotted name leads to ("meta.q": q in the object meta);
  // nullptr where there is none.
  const nlohmann::json* find(std::string_view name) const;
  // What find() can be asked for: the names of all values that are no objects.
  std::vector<std::string> names() const;

 private:
  nlohmann::json fields_;
  std::string place_;
};

// The records of a file of JSON lines, of one JSON array, or of CSV with a line of names (its
// fields are texts): whichever the content is. Memory holds one record at a time.
class RecordReader {
 public:
  // Fails (kUsage) if the file cannot be read, or is Parquet.
  explicit RecordReader(std::filesystem::path file);

  // The next record, none at the end; blank lines are passed over. Fails (kUsage), with file and
  // line: what is no JSON, no UTF-8, cut off, or no record.
  std::optional<Record> next();

 private:
  std::optional<Record> next_line();
  std::optional<Record> next_element();
  std::optional<Record> next_row();
  int skip_space();
  std::string element_text();

  std::filesystem::path path_;
  std::string shown_;  // the path, for messages on a broken file
  std::string name_;   // the file's, for records
  std::ifstream in_;
  std::optional<CsvReader> csv_;
  std::vector<std::string> columns_;  // csv: the names
  bool array_ = false, ended_ = false;
  size_t count_ = 0;            // records so far
  size_t line_ = 1, byte_ = 0;  // where the stream stands: from 1, bytes of the line before it
};

// The one record that a whole file is, called `name` in messages.
Record read_record(const std::filesystem::path& file, const std::string& name);

}  // namespace kvcomm
