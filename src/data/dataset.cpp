#include "data/dataset.h"

#include <unordered_map>

#include "base/error.h"
#include "base/hash.h"
#include "base/text.h"
#include "data/formats.h"

namespace kvcomm {

namespace fs = std::filesystem;

namespace {

struct Source {
  DatasetInfo info;
  Sample (*read)(const Record&);
};

const std::vector<Source>& sources() {
  static const std::vector<Source> table = {
      {{"countries", "qa", "f1_match", 5, "countries.jsonl"}, read_countries},
      {{"tipsheets", "qa", "f1_match", 10, "tipsheets.jsonl"}, read_tipsheets},
      {{"demo", "qa", "includes", 16, "demo.jsonl"}, read_demo},
  };
  return table;
}

const Source& source_of(std::string_view name) {
  std::vector<std::string> names;
  for (const Source& source : sources()) {
    if (source.info.name == name) return source;
    names.push_back(source.info.name);
  }
  fail(Exit::kUsage, "Unknown data set '{}'.{} Known: {}.", name, did_you_mean(name, names),
       join(names, ", "));
}

}  // namespace

const std::vector<DatasetInfo>& dataset_table() {
  static const std::vector<DatasetInfo> table = [] {
    std::vector<DatasetInfo> infos;
    for (const Source& source : sources()) infos.push_back(source.info);
    return infos;
  }();
  return table;
}

const DatasetInfo& dataset_info(std::string_view name) { return source_of(name).info; }

fs::path find_dataset(std::string_view name, const fs::path& explicit_path,
                      const fs::path& data_folder) {
  const DatasetInfo& info = dataset_info(name);
  std::vector<fs::path> places;
  if (explicit_path.empty()) {
    places = {data_folder / info.file_name};
  } else {
    places = {explicit_path};
    if (explicit_path.is_relative()) places.push_back(data_folder / explicit_path);
  }
  std::string looked;
  for (const fs::path& place : places) {
    std::error_code error;
    if (fs::exists(place, error)) return place;
    const fs::path whole = fs::absolute(place, error);
    looked += fmt::format("{}'{}'", looked.empty() ? "" : " and ", whole.string());
  }
  fail(Exit::kUsage, "No file of the data set '{}' at {}: set {}.", name, looked,
       explicit_path.empty() ? "paths.data to its folder, or path in its [[dataset]]"
                             : "path in its [[dataset]] to the file");
}

Dataset load_dataset(std::string_view name, const fs::path& file) {
  const Source& source = source_of(name);
  Dataset dataset{.info = source.info, .path = file};
  std::unordered_map<std::string, std::string> places;  // by id
  for_each_record(file, [&](const Record& record) {
    Sample sample = source.read(record);
    const auto [earlier, is_new] = places.emplace(sample.id, record.place());
    if (!is_new) {
      fail(Exit::kUsage, "{} has the id '{}' of {}: an id stands for one sample.", record.place(),
           sample.id, earlier->second);
    }
    sample.index = static_cast<uint32_t>(dataset.samples.size());
    dataset.samples.push_back(std::move(sample));
  });
  if (dataset.samples.empty()) {
    fail(Exit::kUsage, "'{}' holds no records: the data set '{}' needs at least one.",
         file.string(), name);
  }
  dataset.fingerprint = hash_file_hex(file);
  return dataset;
}

}  // namespace kvcomm
