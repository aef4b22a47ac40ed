// Text tables for people, on standard output.
#pragma once

#include <string>
#include <vector>

#include "store/results.h"
#include "sweep/rescore.h"

namespace kvcomm {

// Columns aligned: the first ones to the left, the others to the right.
std::string text_table(const std::vector<std::vector<std::string>>& rows, size_t to_the_left = 1);

// What stands behind the name of a method whose cell is a variant: " [dtype=float32]"; "" for "".
std::string in_brackets(const std::string& variant);

// "712.9 kB", "3.20 GB": powers of 1000.
std::string bytes_text(double bytes);

// Score with its standard error, failures, bytes on the wire, one line a cell; draws of Random's
// layers, which differ in nothing but the seed, once more as their mean.
std::string results_table(const Results& results);

// Where cells have controls: how much each cell gains over the receiver alone, and by the content
// of what it sends (store/gains.h), a line a cell and one more for each further control. ""
// elsewhere.
std::string gains_table(const Results& results);

// Every cell's score by its metric, as it is now and as it was.
std::string rescored_table(const std::vector<RescoredCell>& cells);

}  // namespace kvcomm
