// Weights: a file's header with the bytes that it promises, and an index of several files.
#include <ATen/ATen.h>

#include "model/fingerprint.h"
#include "model/safetensors.h"
#include "tests/fuzz/fuzz.h"

namespace kvcomm {

int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  static const testing::InputFolder whole{"model.safetensors", "config.json"};
  static const testing::InputFolder parts{"model.safetensors.index.json"};
  whole.put(bytes, size);
  testing::answered([&] {
    const SafetensorsFile file(whole / "model.safetensors");
    volatile char touched = 0;
    for (const auto& [name, stored] : file.tensors()) {
      const at::Tensor tensor = file.tensor(name);
      const auto* start = static_cast<const char*>(tensor.const_data_ptr());
      if (tensor.nbytes() > 0) touched = start[0] + start[tensor.nbytes() - 1];
    }
  });
  testing::answered([&] { weights_fingerprint(whole.path()); });
  parts.put(bytes, size);
  testing::answered([&] { safetensors_files(parts.path()); });
  return 0;
}

}  // namespace kvcomm
