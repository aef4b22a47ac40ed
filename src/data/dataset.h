// Data sets: published files in, samples in the evaluated order out.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace kvcomm {

struct Sample {
  uint32_t index = 0;                 // place in the evaluated order
  std::string id;                     // the record's own, or file:line
  std::vector<std::string> contexts;  // one per sender
  std::string question;
  std::vector<std::string> answers;  // each is accepted
};

struct DatasetInfo {
  std::string name;
  std::string kind;       // the prompts' table: "qa"
  std::string metric;     // a name that score() knows
  int max_new_tokens;     // default of [[dataset]] max_new_tokens
  std::string file_name;  // looked for in paths.data
};

struct Dataset {
  DatasetInfo info;
  std::filesystem::path path;
  std::string fingerprint;  // of the file's bytes
  std::vector<Sample> samples;
};

// Every data set that can be named in the configuration.
const std::vector<DatasetInfo>& dataset_table();

// The table's row; an unknown name is refused (kUsage) with the near miss.
const DatasetInfo& dataset_info(std::string_view name);

// The file of a data set: explicit_path as it is (from the working folder), then from data_folder;
// with an empty explicit_path, the table's file name in data_folder. A sentence (kUsage) says where
// it looked.
std::filesystem::path find_dataset(std::string_view name,
                                   const std::filesystem::path& explicit_path,
                                   const std::filesystem::path& data_folder);

// Reads JSON lines or one JSON array, whichever the content is. Refused (kUsage), with file and
// line or file[index]: what is no JSON or no UTF-8, a missing, mistyped or blank field, an id that
// occurs twice; and a file without records.
Dataset load_dataset(std::string_view name, const std::filesystem::path& file);

}  // namespace kvcomm
