#include <algorithm>
#include <cstring>

#include "store/h5.h"
#include "store/h5_handle.h"

namespace kvcomm {

using namespace h5;

namespace {

// ---- texts
bool is_text(hid_t type) { return H5Tget_class(type) == H5T_STRING; }

// An attribute's texts, all of variable length.
std::vector<std::string> read_texts(hid_t owner, const std::string& name) {
  const Attribute attribute(H5Aopen(owner, name.c_str(), H5P_DEFAULT), name);
  const Type type(H5Aget_type(attribute.get()), name);
  const Space space(H5Aget_space(attribute.get()), name);
  if (!is_text(type.get()) || check(H5Tis_variable_str(type.get()), name) == 0) {
    fail(Exit::kUsage, "the attribute '{}' is no text", name);
  }
  std::vector<char*> pointers(
      static_cast<size_t>(check(H5Sget_simple_extent_npoints(space.get()), name)));
  check(H5Aread(attribute.get(), type.get(), pointers.data()), name);
  std::vector<std::string> texts;
  for (const char* text : pointers) texts.emplace_back(text == nullptr ? "" : text);
  check(H5Dvlen_reclaim(type.get(), space.get(), H5P_DEFAULT, pointers.data()), name);
  return texts;
}

std::vector<std::string> attribute_names(hid_t owner) {
  std::vector<std::string> names;
  const auto take = [](hid_t, const char* name, const H5A_info_t*, void* into) -> herr_t {
    static_cast<std::vector<std::string>*>(into)->emplace_back(name);
    return 0;
  };
  check(H5Aiterate2(owner, H5_INDEX_NAME, H5_ITER_INC, nullptr, take, &names), "the attributes");
  return names;
}

std::vector<std::string> table_names(hid_t file) {
  std::vector<std::string> names;
  const auto take = [](hid_t, const char* name, const H5L_info_t*, void* into) -> herr_t {
    static_cast<std::vector<std::string>*>(into)->emplace_back(name);
    return 0;
  };
  check(H5Literate(file, H5_INDEX_NAME, H5_ITER_INC, nullptr, take, &names), "the tables");
  return names;
}

// ---- columns
// The rows of a table as they lie in memory, one behind the other.
struct Rows {
  const std::vector<char>& bytes;
  size_t count = 0, row_size = 0;

  const char* at(size_t row, size_t offset) const { return bytes.data() + row * row_size + offset; }
};

template <typename Value>
ColumnValues numbers(const Rows& rows, size_t offset) {
  std::vector<Value> values(rows.count);
  for (size_t row = 0; row < rows.count; ++row) {
    std::memcpy(&values[row], rows.at(row, offset), sizeof(Value));
  }
  return values;
}

ColumnValues texts(const Rows& rows, size_t offset, hid_t type) {
  std::vector<std::string> values;
  values.reserve(rows.count);
  const bool variable = check(H5Tis_variable_str(type), "a text") > 0;
  for (size_t row = 0; row < rows.count; ++row) {
    const char* text = rows.at(row, offset);
    if (variable) {
      std::memcpy(&text, text, sizeof text);
      values.emplace_back(text == nullptr ? "" : text);
    } else {
      values.emplace_back(text, strnlen(text, H5Tget_size(type)));
    }
  }
  return values;
}

ColumnValues column_values(const Rows& rows, size_t offset, hid_t type, const std::string& name) {
  const auto is = [&](hid_t number) { return check(H5Tequal(type, number), name) > 0; };
  if (is_text(type)) return texts(rows, offset, type);
  if (is(H5T_NATIVE_UINT8)) return numbers<uint8_t>(rows, offset);
  if (is(H5T_NATIVE_INT32)) return numbers<int32_t>(rows, offset);
  if (is(H5T_NATIVE_UINT32)) return numbers<uint32_t>(rows, offset);
  if (is(H5T_NATIVE_INT64)) return numbers<int64_t>(rows, offset);
  if (is(H5T_NATIVE_UINT64)) return numbers<uint64_t>(rows, offset);
  if (is(H5T_NATIVE_DOUBLE)) return numbers<double>(rows, offset);
  fail(Exit::kUsage, "the column '{}' has a type that no results have", name);
}

std::string member_name(hid_t type, unsigned member) {
  char* name = H5Tget_member_name(type, member);
  if (name == nullptr) fail(Exit::kUsage, "a column has no name");
  std::string text = name;
  H5free_memory(name);
  return text;
}

// ---- tables
Table read_table(hid_t file, const std::string& name) {
  const Dataset dataset(H5Dopen2(file, name.c_str(), H5P_DEFAULT), name);
  const Type stored(H5Dget_type(dataset.get()), name);
  const Space space(H5Dget_space(dataset.get()), name);
  if (H5Tget_class(stored.get()) != H5T_COMPOUND ||
      check(H5Sget_simple_extent_ndims(space.get()), name) != 1) {
    fail(Exit::kUsage, "'{}' is no table", name);
  }
  const Type type(H5Tget_native_type(stored.get(), H5T_DIR_ASCEND), name);
  Table table{.name = name};
  table.rows = static_cast<size_t>(check(H5Sget_simple_extent_npoints(space.get()), name));
  std::vector<char> bytes(table.rows * H5Tget_size(type.get()));
  if (table.rows > 0) {
    check(H5Dread(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data()), name);
  }
  const Rows rows{bytes, table.rows, H5Tget_size(type.get())};
  const auto members = static_cast<unsigned>(check(H5Tget_nmembers(type.get()), name));
  const std::vector<std::string> units = read_texts(dataset.get(), "units");
  const std::vector<std::string> long_names = read_texts(dataset.get(), "long_name");
  if (units.size() != members || long_names.size() != members) {
    fail(Exit::kUsage, "'{}' has not one unit and one long name for each column", name);
  }
  for (unsigned i = 0; i < members; ++i) {
    const Type member(H5Tget_member_type(type.get(), i), name);
    const std::string column = member_name(type.get(), i);
    const size_t offset = H5Tget_member_offset(type.get(), i);
    table.columns.push_back({column, units[i], long_names[i],
                             column_values(rows, offset, member.get(), column),
                             is_text(member.get()) && H5Tis_variable_str(member.get()) > 0});
  }
  if (table.rows > 0) {
    check(H5Dvlen_reclaim(type.get(), space.get(), H5P_DEFAULT, bytes.data()), name);
  }
  return table;
}

// A results file is only ever replaced as a whole, so that reading needs no lock, and works where
// the file system has none.
File open_unlocked(const std::filesystem::path& path) {
  silence_hdf5();
  const Properties access(H5Pcreate(H5P_FILE_ACCESS), "the file's access");
  check(H5Pset_file_locking(access.get(), /*use_file_locking=*/false,
                            /*ignore_when_disabled=*/true),
        "doing without locks");
  return {H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()), "opening"};
}

}  // namespace

std::string h5_attribute(const std::filesystem::path& path, const std::string& name) {
  try {
    const File file = open_unlocked(path);
    if (check(H5Aexists(file.get(), name.c_str()), name) == 0) return "";
    return read_texts(file.get(), name).front();
  } catch (const Error&) {  // what cannot be read has no such text
    return "";
  }
}

H5Content read_h5(const std::filesystem::path& path) {
  try {
    const File file = open_unlocked(path);
    H5Content content;
    for (const std::string& name : attribute_names(file.get())) {
      content.attributes.emplace_back(name, read_texts(file.get(), name).front());
    }
    for (const std::string& name : table_names(file.get())) {
      content.tables.push_back(read_table(file.get(), name));
    }
    return content;
  } catch (const Error& error) {
    fail(Exit::kUsage, "Cannot read '{}' as results: {}", path.string(), error.what());
  }
}

}  // namespace kvcomm
