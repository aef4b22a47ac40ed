// A whole model folder of a few kilobytes, put together from the parity tests' checkpoints and the
// text tests' tokenizer: 4 layers, hidden 32, 2 KV heads of 8.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/paths.h"

namespace kvcomm::testing {

// Makes `folder`. checkpoint: a folder of tests/parity/checkpoints.
inline void make_tiny_model(const std::filesystem::path& folder,
                            const std::string& checkpoint = "tiny-llama") {
  namespace fs = std::filesystem;
  fs::create_directories(folder);
  const fs::path from = source_dir() / "tests/parity/checkpoints" / checkpoint;
  for (const char* name : {"config.json", "generation_config.json", "model.safetensors"}) {
    fs::copy_file(from / name, folder / name);
  }
  fs::copy_file(source_dir() / "tests/text/fixture/tokenizer.json", folder / "tokenizer.json");
  std::ofstream(folder / "tokenizer_config.json")
      << R"({"bos_token": "<bos>", "eos_token": "<eos>", "chat_template": "{{ bos_token }})"
      << R"({% for message in messages %}{{ message.content }}{% endfor %} -- "})";
}

}  // namespace kvcomm::testing
