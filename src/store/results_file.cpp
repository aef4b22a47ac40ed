#include "store/results_file.h"

#include "base/files.h"

namespace kvcomm {

namespace fs = std::filesystem;

fs::path results_path(const fs::path& file_or_folder) {
  std::error_code error;
  return fs::is_directory(file_or_folder, error) ? file_or_folder / "results.h5" : file_or_folder;
}

void require_replaceable(const fs::path& path) {
  std::error_code error;
  if (!fs::exists(fs::symlink_status(path, error))) return;
  if (fs::is_regular_file(path, error) && h5_attribute(path, "schema") == kResultsSchema) return;
  fail(Exit::kUsage,
       "'{}' is there already and is no results file of this program, so it is not replaced: move "
       "it away, or write to another place with --output.",
       path.string());
}

std::string attribute(const H5Content& content, const std::string& name) {
  for (const auto& [key, text] : content.attributes) {
    if (key == name) return text;
  }
  return "";
}

H5Content read_results(const fs::path& path) {
  if (!is_there(path)) {
    fail(Exit::kUsage, "There is no '{}': give a folder that a sweep wrote to, or a file in it.",
         path.string());
  }
  H5Content content = read_h5(path);
  if (attribute(content, "schema") != kResultsSchema) {
    fail(Exit::kUsage, "'{}' is an HDF5 file, but no results.h5 of this program.", path.string());
  }
  return content;
}

Table* find_table(H5Content& content, const std::string& name) {
  const auto found = std::ranges::find(content.tables, name, &Table::name);
  return found == content.tables.end() ? nullptr : &*found;
}

Table& table(H5Content& content, const std::string& name) {
  if (Table* found = find_table(content, name)) return *found;
  fail(Exit::kUsage, "The file has no table '{}': it is no results.h5 of this program.", name);
}

}  // namespace kvcomm
