// The tables of results.h5: their columns with units and meaning, each one line in schema.cpp, and
// their values.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace kvcomm {

struct Results;

using ColumnValues = std::variant<std::vector<uint8_t>, std::vector<int32_t>, std::vector<uint32_t>,
                                  std::vector<int64_t>, std::vector<uint64_t>, std::vector<double>,
                                  std::vector<std::string>>;

struct Column {
  std::string name;
  std::string units;  // "1" for a count or share, "tokens", "B", "s"; "" for a text
  std::string long_name;
  ColumnValues values;           // [rows]
  bool variable_length = false;  // texts only
};

struct Table {
  std::string name;
  size_t rows = 0;
  std::vector<Column> columns;
};

// Builds a table from rows of any type, column by column.
template <typename Row>
class TableOf {
 public:
  TableOf(std::string name, const std::vector<Row>& rows) : rows_(rows) {
    table_.name = std::move(name);
    table_.rows = rows.size();
  }

  // get is a member pointer or a function of a row; its result's type is the column's.
  template <typename Get>
  TableOf& add(std::string name, std::string units, std::string long_name, Get get) {
    using Result = std::decay_t<std::invoke_result_t<Get&, const Row&>>;
    constexpr bool kText = std::is_convertible_v<Result, std::string>;
    using Value =
        std::conditional_t<kText, std::string,
                           std::conditional_t<std::same_as<Result, bool>, uint8_t, Result>>;
    std::vector<Value> values;
    values.reserve(rows_.size());
    for (const Row& row : rows_) values.push_back(std::invoke(get, row));
    table_.columns.push_back(
        {std::move(name), std::move(units), std::move(long_name), std::move(values)});
    return *this;
  }

  // The column added last, a text of very different lengths.
  TableOf& variable_length() {
    table_.columns.back().variable_length = true;
    return *this;
  }

  Table table() { return std::move(table_); }

 private:
  const std::vector<Row>& rows_;
  Table table_;
};

// The columns of /scores that are its own: the metric of each further score, and the score.
std::vector<Column> further_score_columns(std::vector<std::string> metrics,
                                          std::vector<double> scores);

// All tables, in the file's order.
std::vector<Table> tables_of(const Results& results);

}  // namespace kvcomm
