// The table of data sets, with the forms that each is read from.
#pragma once

#include <string_view>
#include <vector>

#include "data/deal.h"
#include "data/folders.h"
#include "data/formats.h"

namespace kvcomm {

struct Source {
  DatasetInfo info;
  std::vector<const Form*> forms = {};   // of its one file; none: it is a folder, or a mix
  std::string_view longbench_part = {};  // which of LongBench's data sets it is; "": none
  std::optional<FolderForm> folder = {};
  Dealt dealt = Dealt::kNothing;
  std::vector<std::string_view> parts = {};  // of a mix: the data sets that it is made of
};

const std::vector<Source>& sources();

// The row of a data set; an unknown name is refused (kUsage) with the near miss.
const Source& source_of(std::string_view name);

// Whether a record is of the data set, by its form and its part of LongBench.
bool belongs_to(const Source& source, const Record& record);

}  // namespace kvcomm
