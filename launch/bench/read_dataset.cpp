// Loads the data set argv[1] from the file argv[2]; prints its samples, the seconds that took, and
// the most memory (bytes) that this process ever held.
#include <fmt/format.h>

#include <fstream>

#include "base/clock.h"
#include "data/dataset.h"

namespace {

uint64_t peak_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    uint64_t kib = 0;
    if (word == "VmHWM:" && status >> kib) return kib * 1024;
  }
  return 0;
}

}  // namespace

int main(int, char** argv) {
  const kvcomm::Stopwatch watch;
  const kvcomm::Dataset dataset = kvcomm::load_dataset(argv[1], argv[2]);
  fmt::print("{} {} {}\n", dataset.samples.size(), watch.elapsed_s(), peak_bytes());
}
