#include "store/studies.h"

#include "store/sample_tables.h"

namespace kvcomm {

namespace {

// The name of a cell's axis, and its value there; nothing where it has not so many.
auto axis_name(size_t axis) {
  return [axis](const OfCell<CellRecord>& row) {
    return axis < row.record->axes.size() ? row.record->axes[axis] : std::string();
  };
}

auto axis_value(size_t axis) {
  return [axis](const OfCell<CellRecord>& row) {
    return axis < row.record->place.size() ? row.record->place[axis] : kNone;
  };
}

}  // namespace

Table studies_table(const Results& results) {
  std::vector<OfCell<CellRecord>> rows;
  for (size_t c = 0; c < results.cells.size(); ++c) {
    const CellResult& cell = results.cells[c];
    if (!cell.cell.axes.empty()) rows.push_back({static_cast<int32_t>(c), &cell, &cell.cell});
  }
  using Row = OfCell<CellRecord>;
  return table_of_cells("studies", rows)
      .add("series", "", "the method without what is on the axes: a line, or a heat map",
           of(&CellRecord::series))
      .add("x_name", "", "the parameter on the x axis", axis_name(0))
      .add("x", "1", "its value", axis_value(0))
      .add("y_name", "", "the parameter on the y axis of a heat map; empty: it is a line",
           axis_name(1))
      .add("y", "1", "its value; NaN: none", axis_value(1))
      .add("n", "1", "samples with a row",
           [](const Row& row) -> uint64_t { return row.result->n(); })
      .add("score", "1", "mean score over n, as in /cells",
           [](const Row& row) { return row.result->mean.score; })
      .add("standard_error", "1", "of it, as in /cells",
           [](const Row& row) { return row.result->mean.standard_error; })
      .table();
}

}  // namespace kvcomm
