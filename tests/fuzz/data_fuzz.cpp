// Data sets: a file under the name demo and those that its first record fits, as data of one's own,
// and the folders' files.
#include "data/dataset.h"
#include "data/sources.h"
#include "tests/fuzz/fuzz.h"

namespace kvcomm {

int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  static const testing::InputFolder folder{"demo.jsonl", "TMATH/hint_algebra/hint_1.json",
                                           "mmlu/dev/econometrics_dev.csv",
                                           "mmlu/test/econometrics_test.csv"};
  folder.put(bytes, size);
  const std::filesystem::path file = folder / "demo.jsonl";
  testing::answered([&] { load_dataset("demo", file); });
  testing::answered([&] {
    const std::optional<Record> first = RecordReader(file).next();
    for (const Source& source : sources()) {
      if (!first || !belongs_to(source, *first)) continue;
      testing::answered([&] { load_dataset(source.info.name, file); });
    }
  });
  testing::answered([&] {
    const OwnFields fields{.context = {"context"}, .question = "question", .answers = "a.b"};
    load_own_dataset({.name = "mine"}, fields, file);
  });
  testing::answered([&] { load_dataset("tmath", folder / "TMATH"); });
  testing::answered([&] { load_dataset("mmlu_social_science", folder / "mmlu"); });
  testing::answered([&] { look_for_dataset("demo", folder.path()); });
  return 0;
}

}  // namespace kvcomm
