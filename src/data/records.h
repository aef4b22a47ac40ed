// JSON records of a file, each with the place it stands at, and their fields with the errors that
// name it.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace kvcomm {

class Record {
 public:
  Record(nlohmann::json fields, std::string place);

  // "countries.jsonl:17", or "countries.json[16]" in an array.
  const std::string& place() const { return place_; }

  // The field, whose text must not be blank.
  std::string text(std::string_view name) const;

  // The field, an array of at least one text.
  std::vector<std::string> texts(std::string_view name) const;

  // The record's own id, a text or a whole number; its place where it has no such field.
  std::string id(std::string_view name) const;

 private:
  const nlohmann::json& field(std::string_view name) const;
  std::string text_of(const nlohmann::json& value, std::string_view name) const;

  nlohmann::json fields_;
  std::string place_;
};

// Calls `each` with every record of a file of JSON lines (blank lines are passed over) or of one
// JSON array. Lines are read one by one, so that memory holds one of them; an array is held whole.
void for_each_record(const std::filesystem::path& file,
                     const std::function<void(const Record&)>& each);

}  // namespace kvcomm
