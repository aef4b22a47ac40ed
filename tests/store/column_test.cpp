// A result column is one line: the store built with one more in its table (CMakeLists.txt) keeps it
// in the journal, shows it in /samples and sums it up in /cells.
#include <gtest/gtest.h>

#include "base/files.h"
#include "store/results.h"
#include "store/schema.h"
#include "tests/store/example.h"
#include "tests/support/paths.h"

namespace kvcomm {
namespace {

using namespace kvcomm::testing;

const Column& column(const std::vector<Table>& tables, const std::string& name) {
  for (const Table& table : tables) {
    for (const Column& column : table.columns) {
      if (table.name == name && column.name == "joules") return column;
    }
  }
  throw std::runtime_error("no such column");
}

TEST(ColumnTest, OneLineIsAFieldAColumnAndASum) {
  const TemporaryFolder folder;
  {
    Journal journal(folder.path(), example_run("run"));
    journal.append(example_cell("k", "skyline"));
    for (const uint32_t sample : {0U, 1U}) {
      SampleRow row = example_row("k", sample, 1);
      row.joules = 1.5 + sample;
      journal.append(row);
    }
    journal.sync();
    EXPECT_NE(read_file(journal.path()).find("\"joules\":2.5"), std::string::npos);
  }
  const Results results(read_journals(folder.path()));
  const std::vector<Table> tables = tables_of(results);
  EXPECT_EQ(std::get<std::vector<double>>(column(tables, "samples").values),
            (std::vector<double>{1.5, 2.5}));
  EXPECT_EQ(std::get<std::vector<double>>(column(tables, "cells").values),
            (std::vector<double>{4}));
  EXPECT_EQ(column(tables, "samples").units, "J");
  EXPECT_EQ(column(tables, "samples").long_name, "what it took");
  EXPECT_EQ(column(tables, "cells").long_name, "sum over samples");
}

}  // namespace
}  // namespace kvcomm
