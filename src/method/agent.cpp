#include "method/agent.h"

namespace kvcomm {

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
