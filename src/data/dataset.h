// Data sets: published files in, samples in the evaluated order out.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
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
  std::string kind;    // the prompts' table: "qa", "math", "code", "summary", "choice", ...
  std::string metric;  // a name that score() knows
  int max_new_tokens;  // default of [[dataset]] max_new_tokens
  size_t records;      // that the published data have, without those left out; 0: any number
  size_t sampled;      // the first that many of the seeded shuffle; 0: all, in file order
  bool truncates;      // an over-long context is cut in its middle
};

// Which fields of a record of one's own are what. Fields are told by their names, "meta.q" being
// the field q of the object meta where no field is called "meta.q" itself.
struct OwnFields {
  std::vector<std::string> context;  // texts or lists of texts, joined by line ends
  std::string question;
  std::string answers;  // a text, a whole number, or a list of these
  std::string id;       // a text or a whole number; "": file:line
};

struct Dataset {
  DatasetInfo info;
  std::filesystem::path path;
  std::string fingerprint;  // of the bytes of all files read
  std::string warning;      // a sentence if these are not the published records, else ""
  std::vector<Sample> samples;
};

// Every data set whose form the program knows.
const std::vector<DatasetInfo>& dataset_table();

bool is_known_dataset(std::string_view name);

// The table's row; an unknown name is refused (kUsage) with the near miss.
const DatasetInfo& dataset_info(std::string_view name);

// How many samples the published data give; 0: any number.
size_t published_samples(const DatasetInfo& info);

// The command that fetches or makes the data set there: "launch/fetch/data.py hotpotqa --to d".
std::string fetch_command(const DatasetInfo& info, const std::filesystem::path& data_folder);

// What in data_folder, or in a folder in it, has the data set's form by content: a file, or a
// folder for tmath and the MMLU groups. Where nothing has, a file called as the data set, whose
// refusal by load_dataset then says why; none where there is none. Two are refused (kUsage), naming
// both.
std::optional<std::filesystem::path> look_for_dataset(std::string_view name,
                                                      const std::filesystem::path& data_folder);

// explicit_path as it is (from the working folder), then from data_folder; with an empty
// explicit_path, what look_for_dataset finds. A sentence (kUsage) says where it looked.
std::filesystem::path find_dataset(std::string_view name,
                                   const std::filesystem::path& explicit_path,
                                   const std::filesystem::path& data_folder);

// Reads the whole, leaves out what the paper does (unanswerable questions, too long contexts), and
// puts the rest into the evaluated order: the file's, or the first of numpy's shuffle with seed 42
// (official_behaviour.md, 5). Refused (kUsage), with file and line or file[index]: what is no JSON,
// no CSV or no UTF-8, a record of another form, a missing, mistyped or blank field, an id that
// occurs twice; and a file without records.
Dataset load_dataset(std::string_view name, const std::filesystem::path& path);

// The same for a file of one's own: JSON lines, a JSON array or CSV, of records that have these
// fields. info names it and says whether it is shuffled (`sampled`).
Dataset load_own_dataset(const DatasetInfo& info, const OwnFields& fields,
                         const std::filesystem::path& path);

}  // namespace kvcomm
