// A model's config.json and generation_config.json, and the table of weights made from them.
#include "model/config.h"
#include "model/weights.h"
#include "tests/fuzz/fuzz.h"

namespace kvcomm {

int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  static const testing::InputFolder folder{"config.json", "generation_config.json"};
  folder.put(bytes, size);
  testing::answered([&] { expected_tensors(load_model_config(folder.path())); });
  return 0;
}

}  // namespace kvcomm
