// Reads lines of JSON and answers each with a line, for check_tokenizers.py:
//   {"text": "...", "special": true}  ->  {"ids": [...]}
//   {"ids": [...], "skip": true}      ->  {"texts": ["", ...]}, the decoding of every prefix of the
//   ids
//   {"ids": [...], "whole": true}     ->  {"texts": ["..."]}, that of all of them
#include <fmt/format.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "text/tokenizer.h"

namespace {

nlohmann::json answer(const kvcomm::Tokenizer& tokenizer, const nlohmann::json& request) {
  if (request.contains("text")) {
    return {{"ids", tokenizer.encode(request["text"].get<std::string>(), request["special"])}};
  }
  const std::vector<int64_t> ids = request["ids"];
  const std::span<const int64_t> all(ids);
  nlohmann::json texts = nlohmann::json::array();
  for (size_t n = request.value("whole", false) ? ids.size() : 0; n <= ids.size(); n++) {
    texts.push_back(tokenizer.decode(all.first(n), request.value("skip", true)));
  }
  return {{"texts", texts}};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "Usage: {} model-folder < requests\n", argv[0]);
    return static_cast<int>(kvcomm::Exit::kUsage);
  }
  try {
    const auto tokenizer = kvcomm::Tokenizer::load(argv[1]);
    for (std::string line; std::getline(std::cin, line);) {
      std::cout << answer(tokenizer, nlohmann::json::parse(line)) << '\n';
    }
  } catch (const kvcomm::Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return static_cast<int>(error.exit());
  }
}
