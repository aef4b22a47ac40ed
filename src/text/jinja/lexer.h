// A template's source as tokens, white space controlled as transformers sets Jinja (trim_blocks,
// lstrip_blocks, one trailing newline dropped).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kvcomm::jinja {

struct Token {
  enum class Kind {
    kData,  // text between tags
    kVariableBegin,
    kVariableEnd,
    kBlockBegin,
    kBlockEnd,
    kName,
    kString,  // text: what the literal stands for
    kInteger,
    kFloat,
    kOperator,
    kEnd,
  };
  Kind kind;
  std::string text;
  int line;  // counted from 1
};

// What is wrong with a template's source, and where.
struct SyntaxError {
  std::string what;
  int line;
};

// "\r\n" and "\r" as "\n".
std::string with_plain_newlines(std::string_view source);

// The tokens of a source with plain newlines that is UTF-8; the last is kEnd. Throws SyntaxError.
std::vector<Token> tokenize(std::string_view source);

}  // namespace kvcomm::jinja
