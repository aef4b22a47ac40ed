// The parts of `verify` (verify.h), each a kind of thing that is checked.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "store/results.h"
#include "sweep/verify.h"
#include "sweep/verify_cells.h"

namespace kvcomm {

// What the parts work on.
struct Verifying {
  const Journals& journals;
  const std::map<std::string, KnownCell>& cells;
  Places places = {};
};

// Keys are the hashes of what they stand for, and every row has a cell.
Check check_keys(Verifying& folder);

// The layers that were chosen follow from the importances, and these cost what they must.
Check check_layers(Verifying& folder);

// Bytes of rows by the closed forms of their methods.
Check check_bytes(Verifying& folder);

// Samples that two runs answered have one answer.
Check check_repeats(Verifying& folder);

// Scores are those of the stored answers; failed rows have none.
Check check_scores(Verifying& folder);

// results.h5 holds what the journals amount to, or is missing or older, which goes to `missing`.
Check check_results(const std::filesystem::path& output, const Results& results,
                    std::vector<std::string>& missing);

}  // namespace kvcomm
