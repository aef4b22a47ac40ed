#include "store/h5.h"

#include <algorithm>
#include <cstring>

#include "store/h5_handle.h"

namespace kvcomm {

using namespace h5;

namespace {

// ---- texts
// HDF5 ends a text at its first NUL, which a generated answer may hold.
std::string without_nul(std::string text) {
  for (size_t at; (at = text.find('\0')) != std::string::npos;) text.replace(at, 1, "\uFFFD");
  return text;
}

// UTF-8 of `size` bytes, or H5T_VARIABLE.
Type text_type(size_t size) {
  Type type(H5Tcopy(H5T_C_S1), "making a text type");
  check(H5Tset_size(type.get(), size), "sizing a text type");
  check(H5Tset_cset(type.get(), H5T_CSET_UTF8), "making a text UTF-8");
  const H5T_str_t padding = size == H5T_VARIABLE ? H5T_STR_NULLTERM : H5T_STR_NULLPAD;
  check(H5Tset_strpad(type.get(), padding), "padding a text type");
  return type;
}

void write_attribute(hid_t owner, const std::string& name, const Space& space,
                     const std::vector<const char*>& texts) {
  const Type type = text_type(H5T_VARIABLE);
  const Attribute attribute(
      H5Acreate2(owner, name.c_str(), type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT), name);
  check(H5Awrite(attribute.get(), type.get(), texts.data()), name);
}

void write_texts(hid_t owner, const std::string& name, const std::vector<const char*>& texts) {
  const hsize_t count = texts.size();
  write_attribute(owner, name, Space(H5Screate_simple(1, &count, nullptr), name), texts);
}

void write_text(hid_t owner, const std::string& name, const std::string& text) {
  const std::string safe = without_nul(text);
  write_attribute(owner, name, Space(H5Screate(H5S_SCALAR), name), {safe.c_str()});
}

// ---- tables
hid_t number_type(uint8_t) { return H5T_NATIVE_UINT8; }
hid_t number_type(int32_t) { return H5T_NATIVE_INT32; }
hid_t number_type(uint32_t) { return H5T_NATIVE_UINT32; }
hid_t number_type(int64_t) { return H5T_NATIVE_INT64; }
hid_t number_type(uint64_t) { return H5T_NATIVE_UINT64; }
hid_t number_type(double) { return H5T_NATIVE_DOUBLE; }

// A column as it lies in a row of the compound.
struct Field {
  Type type;
  size_t offset = 0;
  size_t size = 0;
};

// Texts without NUL, so that sizes and bytes are those that are stored.
std::vector<Column> storable(std::vector<Column> columns) {
  for (Column& column : columns) {
    if (auto* texts = std::get_if<std::vector<std::string>>(&column.values)) {
      for (std::string& text : *texts) text = without_nul(std::move(text));
    }
  }
  return columns;
}

Type field_type(const Column& column) {
  return std::visit(
      [&](const auto& values) {
        using Value = typename std::decay_t<decltype(values)>::value_type;
        if constexpr (std::same_as<Value, std::string>) {
          if (column.variable_length) return text_type(H5T_VARIABLE);
          size_t longest = 1;
          for (const std::string& text : values) longest = std::max(longest, text.size());
          return text_type(longest);
        } else {
          return Type(H5Tcopy(number_type(Value{})), column.name);
        }
      },
      column.values);
}

std::vector<Field> fields_of(const std::vector<Column>& columns) {
  std::vector<Field> fields;
  size_t offset = 0;
  for (const Column& column : columns) {
    Type type = field_type(column);
    const size_t size = H5Tget_size(type.get());
    fields.push_back({std::move(type), offset, size});
    offset += size;
  }
  return fields;
}

// Copies one value to its place in a zeroed row; a variable-length text as the pointer to it.
void put(const Column& column, size_t row, char* to) {
  std::visit(
      [&](const auto& values) {
        if constexpr (std::same_as<std::decay_t<decltype(values)>, std::vector<std::string>>) {
          const char* text = values[row].c_str();
          if (column.variable_length) {
            std::memcpy(to, &text, sizeof text);
          } else {
            std::memcpy(to, text, values[row].size());
          }
        } else {
          std::memcpy(to, &values[row], sizeof values[row]);
        }
      },
      column.values);
}

// Chunks of some 256 KiB; no table has a time stamp in it, so that equal rows are equal bytes.
hsize_t rows_per_chunk(const Table& table, size_t row_size) {
  constexpr size_t kChunkBytes = 256 * 1024;
  return std::clamp<hsize_t>(kChunkBytes / row_size, 1, std::max<hsize_t>(table.rows, 1));
}

Properties dataset_properties(const Table& table, hsize_t chunk) {
  Properties properties(H5Pcreate(H5P_DATASET_CREATE), table.name);
  check(H5Pset_obj_track_times(properties.get(), false), table.name);
  if (table.rows > 0) {
    check(H5Pset_chunk(properties.get(), 1, &chunk), table.name);
    check(H5Pset_shuffle(properties.get()), table.name);
    check(H5Pset_deflate(properties.get(), 4), table.name);
  }
  return properties;
}

void write_rows(const Dataset& dataset, const Type& type, const std::vector<Column>& columns,
                const std::vector<Field>& fields, hsize_t chunk) {
  const Space all(H5Dget_space(dataset.get()), "reading a table's size");
  const auto rows = static_cast<hsize_t>(
      check(H5Sget_simple_extent_npoints(all.get()), "reading a table's size"));
  const size_t row_size = H5Tget_size(type.get());
  for (hsize_t from = 0; from < rows; from += chunk) {
    const hsize_t count = std::min(chunk, rows - from);
    std::vector<char> bytes(count * row_size, '\0');
    for (hsize_t i = 0; i < count; ++i) {
      for (size_t c = 0; c < columns.size(); ++c) {
        put(columns[c], from + i, bytes.data() + i * row_size + fields[c].offset);
      }
    }
    const Space block(H5Screate_simple(1, &count, nullptr), "a block of rows");
    check(H5Sselect_hyperslab(all.get(), H5S_SELECT_SET, &from, nullptr, &count, nullptr),
          "choosing a block of rows");
    check(H5Dwrite(dataset.get(), type.get(), block.get(), all.get(), H5P_DEFAULT, bytes.data()),
          "writing a block of rows");
  }
}

void write_table(const File& file, const Table& table) {
  const std::vector<Column> columns = storable(table.columns);
  const std::vector<Field> fields = fields_of(columns);
  const size_t row_size = fields.back().offset + fields.back().size;
  const Type type(H5Tcreate(H5T_COMPOUND, row_size), table.name);
  for (size_t c = 0; c < columns.size(); ++c) {
    check(H5Tinsert(type.get(), columns[c].name.c_str(), fields[c].offset, fields[c].type.get()),
          columns[c].name);
  }
  const hsize_t rows = table.rows;
  const hsize_t chunk = rows_per_chunk(table, row_size);
  const Space space(H5Screate_simple(1, &rows, nullptr), table.name);
  const Properties properties = dataset_properties(table, chunk);
  const Dataset dataset(H5Dcreate2(file.get(), table.name.c_str(), type.get(), space.get(),
                                   H5P_DEFAULT, properties.get(), H5P_DEFAULT),
                        table.name);
  write_rows(dataset, type, columns, fields, chunk);
  std::vector<const char*> units, long_names;
  for (const Column& column : columns) {
    units.push_back(column.units.c_str());
    long_names.push_back(column.long_name.c_str());
  }
  write_texts(dataset.get(), "units", units);
  write_texts(dataset.get(), "long_name", long_names);
}

}  // namespace

std::string h5_image(const Attributes& attributes, const std::vector<Table>& tables) {
  silence_hdf5();
  constexpr size_t kGrowBy = 1 << 20;
  const Properties access(H5Pcreate(H5P_FILE_ACCESS), "the file's access");
  check(H5Pset_fapl_core(access.get(), kGrowBy, /*backing_store=*/false), "keeping it in memory");
  const File file(H5Fcreate("results.h5", H5F_ACC_TRUNC, H5P_DEFAULT, access.get()), "the file");
  for (const auto& [name, text] : attributes) write_text(file.get(), name, text);
  for (const Table& table : tables) write_table(file, table);
  check(H5Fflush(file.get(), H5F_SCOPE_GLOBAL), "flushing");
  std::string image(static_cast<size_t>(check(H5Fget_file_image(file.get(), nullptr, 0), "sizing")),
                    '\0');
  check(H5Fget_file_image(file.get(), image.data(), image.size()), "taking the bytes");
  return image;
}

H5Content as_stored(H5Content content) {
  for (auto& [name, text] : content.attributes) text = without_nul(std::move(text));
  for (Table& table : content.tables) table.columns = storable(std::move(table.columns));
  std::ranges::sort(content.attributes);
  std::ranges::sort(content.tables, {}, &Table::name);
  return content;
}

std::string h5_version() {
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  return fmt::format("{}.{}.{}", major, minor, release);
}

}  // namespace kvcomm
