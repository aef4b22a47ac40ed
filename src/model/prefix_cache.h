// Beginnings that many prompts share (a chat template's head, the words of a question): read once a
// model, then copied in front of each prompt's other tokens.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <vector>

#include "model/decoder.h"

namespace kvcomm {

class PrefixCache {
 public:
  // What a model makes of these ids, read from position 0: at the first call, or as it was then.
  // One cache serves one model.
  std::shared_ptr<const Context> read(const Decoder& model, std::span<const int64_t> ids);

 private:
  std::map<std::vector<int64_t>, std::shared_ptr<const Context>> known_;
};

}  // namespace kvcomm
