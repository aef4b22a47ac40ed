// Chat templates, read and rendered for a message.
#include "tests/fuzz/fuzz.h"
#include "text/chat_template.h"

namespace kvcomm {

int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  testing::answered([&] {
    const ChatTemplate chat({reinterpret_cast<const char*>(bytes), size}, "<s>", "</s>");
    chat.render(" Hi é\n", kTemplateDate);
  });
  return 0;
}

}  // namespace kvcomm
