#include "data/dataset.h"

#include <algorithm>
#include <unordered_map>

#include "base/error.h"
#include "base/hash.h"
#include "base/text.h"
#include "data/shuffle.h"
#include "data/sources.h"

namespace kvcomm {

namespace fs = std::filesystem;

namespace {

constexpr uint64_t kShuffleSeed = 42;

// ---- one file

// What LongBench's data set of that name is called here; "" if it is not here.
std::string longbench_name(const Source& source, std::string_view part) {
  for (const Source& other : sources()) {
    if (part.empty() || other.longbench_part != part) continue;
    const bool alike = source.info.name.starts_with(part);
    return fmt::format(" LongBench's {} is the data set '{}'{}.", part, other.info.name,
                       alike ? fmt::format(", other samples than the paper's {}", part) : "");
  }
  return "";
}

[[noreturn]] void refuse_form(const Source& source, const Form& form, const Record& record) {
  std::vector<std::string> accepted;
  for (const Form* own : source.forms) accepted.emplace_back(own->what);
  fail(Exit::kUsage, "{} has the form of {}; the data set '{}' is read from {}.{}", record.place(),
       form.what, source.info.name, join(accepted, " or "),
       &form == &kTwoWiki ? " Its samples are others than those of LongBench's 2wikimqa, which the "
                            "paper takes for twowikimqa."
                          : longbench_name(source, longbench_part(record)));
}

// The form of a file, by its first record. One that fits no form at all is taken for the first that
// the data set has, whose reader then says what is missing.
const Form& form_of(const Source& source, const Record& first) {
  const auto fits = [&](const Form* form) { return form->fits(first); };
  const auto own = std::ranges::find_if(source.forms, fits);
  if (own != source.forms.end()) return **own;
  const auto other = std::ranges::find_if(all_forms(), fits);
  if (other != all_forms().end()) refuse_form(source, **other, first);
  return *source.forms.front();
}

void require_part(const Source& source, const Record& record) {
  const std::string part = longbench_part(record);
  if (source.longbench_part.empty() || part.empty() || part == source.longbench_part) return;
  fail(Exit::kUsage, "{} is of LongBench's {}, the data set '{}' is its {}.{}", record.place(),
       part, source.info.name, source.longbench_part, longbench_name(source, part));
}

// read(record) gives its sample, or none where it is left out.
template <typename Read>
std::vector<Sample> read_file_samples(const fs::path& file, Read read) {
  std::vector<Sample> samples;
  std::unordered_map<std::string, std::string> places;  // by id
  RecordReader records(file);
  for (auto record = records.next(); record; record = records.next()) {
    std::optional<Sample> sample = read(*record);
    if (!sample) continue;
    const auto [earlier, is_new] = places.emplace(sample->id, record->place());
    if (!is_new) {
      fail(Exit::kUsage, "{} has the id '{}' of {}: an id stands for one sample.", record->place(),
           sample->id, earlier->second);
    }
    samples.push_back(std::move(*sample));
  }
  return samples;
}

std::vector<Sample> read_published_file(const Source& source, const fs::path& file) {
  const Form* form = nullptr;
  return read_file_samples(file, [&](const Record& record) {
    if (form == nullptr) form = &form_of(source, record);
    require_part(source, record);
    return form->read(record);
  });
}

// ---- a folder of files

// Of the files' names and bytes.
std::string fingerprint_of(const fs::path& folder, const std::vector<fs::path>& files) {
  std::string all;
  for (const fs::path& file : files) {
    all += fmt::format("{} {}\n", hash_file_hex(folder / file), file.generic_string());
  }
  return hash128_hex(all);
}

// ---- the whole

// Of the files' own: dealt to several senders, or shuffled, a place holds another sample.
std::string fingerprint_in_order(const std::string& of_files, std::string_view order) {
  return order.empty() ? of_files : hash128_hex(fmt::format("{} {}", of_files, order));
}

std::string dealt_text(size_t senders) {
  return senders == 1 ? "" : fmt::format("dealt to {}", senders);
}

// Fails (kUsage) where there are no samples.
void require_samples(const Dataset& dataset) {
  if (!dataset.samples.empty()) return;
  fail(Exit::kUsage, "'{}' holds no records: the data set '{}' needs at least one.",
       dataset.path.string(), dataset.info.name);
}

void put_in_order(Dataset& dataset) {
  std::vector<Sample>& samples = dataset.samples;
  require_samples(dataset);
  if (dataset.info.sampled > 0) {
    std::vector<Sample> drawn;
    for (const uint32_t place : numpy_permutation(kShuffleSeed, samples.size())) {
      drawn.push_back(std::move(samples[place]));
    }
    samples = std::move(drawn);
  }
  std::erase_if(samples, [](const Sample& sample) { return sample.contexts.empty(); });
  if (samples.empty()) {
    fail(Exit::kUsage, "No record of '{}' has texts enough for a context of each sender.",
         dataset.path.string());
  }
  for (size_t i = 0; i < samples.size(); ++i) samples[i].index = static_cast<uint32_t>(i);
  if (dataset.info.sampled == 0 || dataset.info.sampled >= samples.size()) return;
  const auto behind = samples.begin() + static_cast<ptrdiff_t>(dataset.info.sampled);
  std::ranges::move(behind, samples.end(), std::back_inserter(dataset.rest));
  samples.erase(behind, samples.end());
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

bool is_known_dataset(std::string_view name) {
  return std::ranges::count(dataset_table(), name, &DatasetInfo::name) > 0;
}

const DatasetInfo& dataset_info(std::string_view name) { return source_of(name).info; }

size_t published_samples(const DatasetInfo& info) {
  if (info.sampled == 0 || info.records == 0) return std::max(info.sampled, info.records);
  return std::min(info.sampled, info.records);
}

std::string fetch_command(const DatasetInfo& info, const fs::path& data_folder) {
  if (info.name == "demo") return "launch/setup/make_demo_data.py";
  const std::vector<std::string> parts = parts_of_mix(info.name);
  const std::string names = parts.empty() ? info.name : join(parts, " ");
  const std::string command = "launch/fetch/data.py " + names;
  return data_folder == "data" ? command : command + " --to " + data_folder.string();
}

void require_dealt(std::string_view name, size_t senders) {
  if (senders == 1 || source_of(name).dealt != Dealt::kNothing) return;
  std::vector<std::string> can;
  for (const Source& source : sources()) {
    if (source.dealt != Dealt::kNothing) can.push_back(source.info.name);
  }
  fail(
      Exit::kUsage,
      "A context of '{}' is one text, which cannot be dealt to {} senders: take one of {}, or data "
      "of your own with several contexts a record.",
      name, senders, join(can, ", "));
}

std::vector<std::string> parts_of_mix(std::string_view name) {
  if (!is_known_dataset(name)) return {};
  const auto& parts = source_of(name).parts;
  return {parts.begin(), parts.end()};
}

Dataset mix(const DatasetInfo& info, std::vector<Dataset> parts) {
  Dataset mixed{.info = info};
  std::string fingerprints;
  for (Dataset& part : parts) {
    if (!part.warning.empty()) mixed.warning += (mixed.warning.empty() ? "" : " ") + part.warning;
    fingerprints += part.fingerprint + "\n";
    for (Sample& sample : part.samples) {
      sample.dataset = part.info.name;
      mixed.samples.push_back(std::move(sample));
    }
  }
  mixed.fingerprint =
      fingerprint_in_order(hash128_hex(fingerprints), info.sampled > 0 ? "shuffled" : "");
  put_in_order(mixed);
  return mixed;
}

Dataset load_mix(const DatasetInfo& info, const fs::path& data_folder) {
  std::vector<Dataset> read;
  for (const std::string& part : parts_of_mix(info.name)) {
    const auto file = look_for_dataset(part, data_folder);
    if (!file) {
      fail(Exit::kUsage,
           "No file of '{}', a part of the data set '{}', in '{}' or a folder in it: set "
           "paths.data to the folder of all parts; `{}` fetches them.",
           part, info.name, data_folder.string(), fetch_command(info, data_folder));
    }
    read.push_back(load_dataset(part, *file));
  }
  Dataset mixed = mix(info, std::move(read));
  mixed.path = data_folder;
  return mixed;
}

Dataset load_dataset(std::string_view name, const fs::path& path, size_t senders) {
  const Source& source = source_of(name);
  if (!source.parts.empty()) {
    fail(Exit::kUsage, "'{}' is no data set of one file: it is read from those of its parts.",
         name);
  }
  require_dealt(name, senders);
  Dataset dataset{.info = source.info, .path = path};
  if (source.folder) {
    const fs::path root = root_of(*source.folder, path);
    if (root.empty()) {
      fail(Exit::kUsage, "'{}' is no folder with files of the data set '{}', as {}.", path.string(),
           name, source.folder->example);
    }
    FolderRead read = source.folder->read(root, source.folder->subjects);
    dataset.samples = std::move(read.samples);
    dataset.fingerprint = fingerprint_of(root, read.files);
  } else {
    dataset.samples = read_published_file(source, path);
    dataset.fingerprint = hash_file_hex(path);
  }
  dataset.fingerprint = fingerprint_in_order(dataset.fingerprint, dealt_text(senders));
  const size_t found = dataset.samples.size();
  require_samples(dataset);
  for (Sample& sample : dataset.samples) {
    // What cannot be dealt keeps its place in the shuffle, and is left out behind it.
    if (!deal(sample, senders, source.dealt)) sample.contexts.clear();
  }
  put_in_order(dataset);
  if (dataset.info.records != 0 && found != dataset.info.records) {
    dataset.warning = fmt::format(
        "'{}' has {} records, the published '{}' has {}: scores are not comparable to the paper's.",
        path.string(), found, name, dataset.info.records);
  }
  return dataset;
}

Dataset load_own_dataset(const DatasetInfo& info, const OwnFields& fields, const fs::path& path,
                         size_t senders) {
  Dataset dataset{.info = info, .path = path};
  dataset.samples = read_file_samples(path, [&](const Record& record) {
    Sample sample = read_own(record, info.name, fields);
    const size_t texts = sample.contexts.size();
    if (deal(sample, senders, Dealt::kTexts)) return sample;
    fail(
        Exit::kUsage,
        "{} has {} context{}, fewer than the {} senders of a pair: name more fields in context, or "
        "take the record out.",
        record.place(), texts, texts == 1 ? "" : "s", senders);
  });
  dataset.fingerprint = fingerprint_in_order(hash_file_hex(path), dealt_text(senders));
  put_in_order(dataset);
  return dataset;
}

}  // namespace kvcomm
