// Text to be encoded with a small vocabulary, and ids to be decoded.
#include <cstdlib>

#include "tests/fuzz/fuzz.h"
#include "text/tokenizer.h"

namespace kvcomm {

int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  static const Tokenizer tokenizer = Tokenizer::load(testing::source_dir() / "tests/text/fixture");
  testing::answered([&] {
    const std::string_view text(reinterpret_cast<const char*>(bytes), size);
    const std::vector<int64_t> ids = tokenizer.encode(text, /*add_special_tokens=*/true);
    for (const int64_t id : ids) {
      if (id < 0 || id >= tokenizer.vocab_size()) std::abort();
    }
    tokenizer.decode(ids);
  });
  const std::vector<int64_t> any_ids(bytes, bytes + size);
  tokenizer.decode(any_ids);
  return 0;
}

}  // namespace kvcomm
