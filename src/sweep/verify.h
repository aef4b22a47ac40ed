// Whether an output folder is right and complete: its journals by their hashes, what rows say by
// the closed forms of their methods, scores by scoring the stored answers again, results.h5 by the
// journals. Nothing is written, and no model is loaded.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"

namespace kvcomm {

// One kind of thing that is checked.
struct Check {
  static constexpr size_t kMostNamed = 20;

  std::string what;                           // "bytes of rows"
  uint64_t checked = 0;                       // things
  std::vector<std::string> wrong;             // a sentence each, the first kMostNamed
  uint64_t more_wrong = 0;                    // beyond these
  std::map<std::string, uint64_t> unchecked;  // things, by why they could not be checked

  // sentence: makes it, where it is among those that are named: finding a line takes time.
  template <typename Sentence>
  void blame(const Sentence& sentence) {
    if (wrong.size() == kMostNamed) {
      ++more_wrong;
    } else {
      wrong.push_back(sentence());
    }
  }
};

struct Verified {
  std::vector<Check> checks;
  std::vector<std::string> missing;  // a sentence each
  std::vector<std::string> notes;    // what is neither wrong nor missing

  // kIntegrity: something is wrong; kSomeFailed: something is missing.
  Exit exit() const;
};

// Fails (kUsage) where it is no output folder.
Verified verify(const std::filesystem::path& output);

}  // namespace kvcomm
