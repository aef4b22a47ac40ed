// Byte-level BPE tokenizers from a model's folder (model_folder.h): text in, ids out, and back.
// Equal to the `tokenizers` package (checked by tests/text/check_tokenizers.py); a component or
// option that is not known here is refused by its name, never guessed. Const and safe to share by
// threads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/pre_tokenizer.h"

namespace kvcomm {

struct TokenizerFiles;

class Tokenizer {
 public:
  // Fails (kEnvironment) naming the file and the component. tokenizer.json's `truncation` and
  // `padding` are left out of account, as transformers does unless asked: how long a prompt may be
  // is run.max_input_tokens'.
  static Tokenizer load(const std::filesystem::path& model_folder);

  // add_special_tokens: whether the post-processor's tokens (a BOS, say) are put around the text's.
  // Special tokens that stand in the text itself become their ids either way. Fails (kUsage) if the
  // text is not UTF-8.
  std::vector<int64_t> encode(std::string_view text, bool add_special_tokens) const;

  // No clean-up of spaces, whatever cleans_up_spaces() says (clean_up_spaces() below does that);
  // bytes that are no UTF-8 become U+FFFD, one for each maximal broken part;
  // ids that stand for no token (a padded vocabulary's rows) give nothing.
  std::string decode(std::span<const int64_t> ids, bool skip_special_tokens = true) const;

  // 1 + the largest id: how many rows an embedding needs.
  int64_t vocab_size() const { return static_cast<int64_t>(tokens_.size()); }

  // By the spelling of tokenizer.json: "<|im_end|>", "Ġthe".
  std::optional<int64_t> id_of(std::string_view token) const;

  // Whether a file gives a token this id. A special token that is only named gets the next free
  // one, which no model was trained on.
  bool lists(int64_t id) const { return !unlisted_.contains(id); }

  // Of tokenizer.json, and of what the folder's other files add to its tokens where they do; what
  // the two ends of a channel compare.
  const std::string& hash() const { return hash_; }

  // Whether transformers would clean up the spaces of decoded text, by tokenizer_config.json.
  bool cleans_up_spaces() const { return cleans_up_spaces_; }

  // A token to which two tokenizers give different ids; none: one does not have it.
  struct Difference {
    std::string token;
    std::optional<int64_t> here, there;
  };
  // The first one, by id, of the ordinary tokens (of the vocabulary, not added to it) or of the
  // added ones.
  enum class Sort { kOrdinary, kAdded };
  std::optional<Difference> first_difference(const Tokenizer& other, Sort sort) const;

 private:
  struct Token {
    std::string bytes;  // what decode() writes
    bool special = false;
  };

  explicit Tokenizer(const TokenizerFiles& files);
  Token& token_at(int64_t id);  // makes room for it
  void read_added_tokens(const nlohmann::json& list);
  void read_post_processor(const nlohmann::json& component);

  std::string hash_;
  bool cleans_up_spaces_;
  std::set<int64_t> unlisted_;
  bool nfc_;
  PreTokenizer pre_tokenizer_;
  Bpe model_;
  std::vector<Token> tokens_;             // by id
  TokenIds added_ids_;                    // by spelling
  AddedTokens added_as_written_;          // looked for before the normalizer
  AddedTokens added_as_normalized_;       // and after it
  std::vector<int64_t> prefix_, suffix_;  // what add_special_tokens puts around a text
};

// As transformers' clean_up_tokenization: the space before a full stop, a comma, "n't", ... goes.
std::string clean_up_spaces(std::string text);

}  // namespace kvcomm
