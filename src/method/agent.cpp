#include "method/agent.h"

#include "base/error.h"

namespace kvcomm {

std::vector<int64_t> letter_ids(const Tokenizer& tokenizer) {
  std::vector<int64_t> letters;
  for (const char* letter : {"A", "B", "C", "D"}) {
    const std::vector<int64_t> ids = tokenizer.encode(letter, /*add_special_tokens=*/false);
    if (ids.size() == 1) {
      letters.push_back(ids.front());
      continue;
    }
    fail(Exit::kUsage,
         "answer = \"letter\" compares the tokens A, B, C and D, and the tokenizer makes {} tokens "
         "of '{}': set answer = \"text\".",
         ids.size(), letter);
  }
  return letters;
}

OtherHead other_head(const Fidelity& fidelity) {
  return fidelity.tie_other_head ? OtherHead::kDropped : OtherHead::kUsed;
}

std::vector<std::string> deciding_fields(const Fidelity& fidelity, bool has_other_head,
                                         bool cleans_up_spaces) {
  std::vector<std::string> fields;
  if (has_other_head) fields.push_back("tie_other_head");
  if (fidelity.clean_up_spaces && cleans_up_spaces) fields.push_back("clean_up_spaces");
  return fields;
}

}  // namespace kvcomm
