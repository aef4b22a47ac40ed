// Data sets: published files in, samples in the evaluated order out.
//
// What several senders read is dealt out of a sample's texts in as many runs, floor first
// (official_behaviour.md, 13).
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
  std::string whole = {};            // of several contexts, what one agent reads in their place
  std::string dataset = {};          // in a mix: whose prompts it has

  // The context as one agent reads it.
  const std::string& context() const { return contexts.size() == 1 ? contexts[0] : whole; }
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
  std::vector<std::string> context;  // texts or lists of texts, joined by line ends for a sender
  std::string question;
  std::string answers;  // a text, a whole number, or a list of these
  std::string id;       // a text or a whole number; "": file:line
};

struct Dataset {
  DatasetInfo info;
  std::filesystem::path path;
  std::string fingerprint;  // of the bytes of all files read, and of how they were dealt
  std::string warning;      // a sentence if these are not the published records, else ""
  std::vector<Sample> samples;
  std::vector<Sample> rest;  // behind the published number, in the same order: never scored

  // By place in that order.
  const Sample& at(size_t index) const {
    return index < samples.size() ? samples[index] : rest.at(index - samples.size());
  }
};

// Every data set whose form the program knows.
const std::vector<DatasetInfo>& dataset_table();

bool is_known_dataset(std::string_view name);

// The table's row; an unknown name is refused (kUsage) with the near miss.
const DatasetInfo& dataset_info(std::string_view name);

// Fails (kUsage) where a known data set's contexts cannot be dealt to so many senders.
void require_dealt(std::string_view name, size_t senders);

// The data sets that a mix is made of, in their order ("countries+tipsheets"); none: it is no mix.
std::vector<std::string> parts_of_mix(std::string_view name);

// Of its parts, read before: all of the first, then the next. info says whether it is shuffled.
Dataset mix(const DatasetInfo& info, std::vector<Dataset> parts);

// The same, of its parts' files in data_folder.
Dataset load_mix(const DatasetInfo& info, const std::filesystem::path& data_folder);

// How many samples the published data give; 0: any number.
size_t published_samples(const DatasetInfo& info);

// The command that fetches or makes the data set there: "launch/fetch/data.py hotpotqa --to d".
std::string fetch_command(const DatasetInfo& info, const std::filesystem::path& data_folder);

// What in data_folder, or in a folder in it, has the data set's form by content: a file, or a
// folder for tmath and the MMLU groups; of a mix the first part's, where each is there. Where
// nothing has, a file called as the data set, whose refusal by load_dataset then says why; none
// where there is none. Two are refused (kUsage), naming both.
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
// occurs twice; and a file without records. For several senders the whole is put in order before
// samples with fewer texts than senders are left out.
Dataset load_dataset(std::string_view name, const std::filesystem::path& path, size_t senders = 1);

// The same for a file of one's own: JSON lines, a JSON array or CSV, of records that have these
// fields. info names it and says whether it is shuffled (`sampled`). A record with fewer texts than
// senders is refused (kUsage).
Dataset load_own_dataset(const DatasetInfo& info, const OwnFields& fields,
                         const std::filesystem::path& path, size_t senders = 1);

}  // namespace kvcomm
