// A tokenizer.json, and a text encoded with what it describes.
#include "tests/fuzz/fuzz.h"
#include "text/tokenizer.h"

namespace kvcomm {

int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  static const testing::InputFolder folder{"tokenizer.json"};
  folder.put(bytes, size);
  testing::answered([&] {
    const Tokenizer tokenizer = Tokenizer::load(folder.path());
    const std::string text =
        "Ab  ab's <|x|> 12345\n\n \t\u00E9e\u0301\u4F60!aaaaaaaaaaaaaaaaaaaaaaaa";
    tokenizer.decode(tokenizer.encode(text, /*add_special_tokens=*/true));
  });
  return 0;
}

}  // namespace kvcomm
