// The tables of results.h5 with a row a sample of a cell, and what they have in common with others
// whose rows belong to cells.
#pragma once

#include "store/results.h"

namespace kvcomm {

inline constexpr const char* kVariant =
    "what tells the cell from the key of it that ran last; empty: it is that";

// A row of a table that belongs to a cell: `cell` is that cell's row of /cells.
template <typename Record>
struct OfCell {
  int32_t cell = 0;
  const CellResult* result = nullptr;
  const Record* record = nullptr;
};

template <typename Record>
TableOf<OfCell<Record>> table_of_cells(const char* name, const std::vector<OfCell<Record>>& rows) {
  using Row = OfCell<Record>;
  const auto text = [](std::string CellRecord::*member) {
    return
        [member](const Row& row) { return row.result == nullptr ? "" : row.result->cell.*member; };
  };
  TableOf<Row> table(name, rows);
  table.add("cell", "1", "row of /cells; -1: of no cell there", &Row::cell)
      .add("pair", "", "name of the pair of models", text(&CellRecord::pair))
      .add("dataset", "", "name of the data set", text(&CellRecord::dataset))
      .add("method", "", "method with the parameters that were set", text(&CellRecord::method))
      .add("variant", "", kVariant,
           [](const Row& row) { return row.result == nullptr ? "" : row.result->variant; });
  return table;
}

// A member of the record of a row, its own or a base's.
template <typename Member>
auto of(Member member) {
  return [member](const auto& row) -> const auto& { return row.record->*member; };
}

// Rows of what each cell has, which must outlive them.
template <typename Record>
std::vector<OfCell<Record>> rows_of(const Results& results,
                                    const std::vector<std::vector<Record>>& of_cells) {
  std::vector<OfCell<Record>> rows;
  for (size_t c = 0; c < of_cells.size(); ++c) {
    for (const Record& record : of_cells[c]) {
      rows.push_back({static_cast<int32_t>(c), &results.cells[c], &record});
    }
  }
  return rows;
}

Table samples_table(const Results& results);
Table senders_table(const Results& results);
Table scores_table(const Results& results);
Table recalibrations_table(const Results& results);

}  // namespace kvcomm
