#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "data/sources.h"

namespace kvcomm {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kExtensions[] = {".jsonl", ".json", ".csv"};

std::string absolute_text(const fs::path& path) {
  std::error_code error;
  return fs::absolute(path, error).string();
}

// A folder and the folders in it.
std::vector<fs::path> folders_of(const fs::path& folder) {
  std::vector<fs::path> folders{folder};
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.is_directory(error)) folders.push_back(entry.path());
  }
  std::sort(folders.begin() + 1, folders.end());
  return folders;
}

bool file_fits(const Source& source, const fs::path& file) {
  std::string extension = file.extension().string();
  std::ranges::transform(extension, extension.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (std::ranges::count(kExtensions, extension) == 0) return false;
  try {
    const std::optional<Record> first = RecordReader(file).next();
    return first && belongs_to(source, *first);
  } catch (const Error&) {
    return false;  // no record begins there: some other file
  }
}

std::vector<fs::path> candidates(const Source& source, const fs::path& data_folder) {
  std::vector<fs::path> found;
  for (const fs::path& folder : folders_of(data_folder)) {
    if (source.folder) {
      const fs::path root = root_of(*source.folder, folder);
      if (!root.empty() && std::ranges::count(found, root) == 0) found.push_back(root);
      continue;
    }
    std::vector<fs::path> files;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder, error)) {
      const bool hidden = entry.path().filename().string().starts_with('.');
      if (!hidden && entry.is_regular_file(error)) files.push_back(entry.path());
    }
    std::ranges::sort(files);
    std::ranges::copy_if(files, std::back_inserter(found),
                         [&](const fs::path& file) { return file_fits(source, file); });
  }
  return found;
}

fs::path find_explicit(std::string_view name, const fs::path& path, const fs::path& data_folder) {
  std::vector<fs::path> places{path};
  if (path.is_relative()) places.push_back(data_folder / path);
  std::vector<std::string> looked;
  for (const fs::path& place : places) {
    if (is_there(place)) return place;
    looked.push_back("'" + absolute_text(place) + "'");
  }
  fail(Exit::kUsage, "No file of the data set '{}' at {}: set path in its [[dataset]] to the file.",
       name, join(looked, " and "));
}

}  // namespace

std::optional<fs::path> look_for_dataset(std::string_view name, const fs::path& data_folder) {
  const Source& source = source_of(name);
  if (!source.parts.empty()) {
    std::optional<fs::path> first;
    for (const std::string_view part : source.parts) {
      const auto found = look_for_dataset(part, data_folder);
      if (!found) return std::nullopt;
      if (!first) first = found;
    }
    return first;
  }
  const std::vector<fs::path> found = candidates(source, data_folder);
  if (found.size() == 1) return found[0];
  if (found.size() > 1) {
    std::vector<std::string> names;
    for (const fs::path& path : found) names.push_back("'" + path.string() + "'");
    fail(Exit::kUsage, "The data set '{}' can be read from {}: set path in its [[dataset]] to one.",
         name, join(names, " and "));
  }
  for (const std::string_view extension : kExtensions) {
    const fs::path file = data_folder / fmt::format("{}{}", name, extension);
    if (!source.folder && is_there(file)) return file;
  }
  return std::nullopt;
}

fs::path find_dataset(std::string_view name, const fs::path& explicit_path,
                      const fs::path& data_folder) {
  if (!explicit_path.empty()) return find_explicit(name, explicit_path, data_folder);
  if (const auto found = look_for_dataset(name, data_folder)) return *found;
  fail(Exit::kUsage,
       "No file of the data set '{}' in '{}' or a folder in it: set paths.data to its folder, or "
       "path in its [[dataset]]; `kvcomm ls datasets` names the command that fetches it.",
       name, absolute_text(data_folder));
}

}  // namespace kvcomm
