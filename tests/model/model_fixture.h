// A tiny model's folder to change, and what its readers say of it.
#pragma once

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"
#include "base/files.h"
#include "model/safetensors.h"
#include "tests/method/tiny_model.h"

namespace kvcomm::testing {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

using Tensors = std::map<std::string, at::Tensor>;

inline Tensors read_tensors(const fs::path& path) {
  const SafetensorsFile file(path);
  Tensors tensors;
  for (const auto& [name, stored] : file.tensors()) tensors[name] = file.tensor(name).clone();
  return tensors;
}

// Of float32 and bfloat16.
inline void write_tensors(const fs::path& path, const Tensors& tensors) {
  Json header = Json::object();
  std::string bytes;
  for (const auto& [name, tensor] : tensors) {
    const size_t begin = bytes.size();
    const at::Tensor whole = tensor.contiguous();
    bytes.append(static_cast<const char*>(whole.const_data_ptr()), whole.nbytes());
    header[name] = {{"dtype", whole.scalar_type() == at::kFloat ? "F32" : "BF16"},
                    {"shape", whole.sizes().vec()},
                    {"data_offsets", {begin, bytes.size()}}};
  }
  const std::string text = header.dump();
  const uint64_t size = text.size();
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(&size), sizeof size)
      .write(text.data(), static_cast<std::streamsize>(text.size()))
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

class ModelTest : public ::testing::Test {
 protected:
  ModelTest() { make_tiny_model(folder()); }

  fs::path folder() const { return root_.path() / "model"; }
  fs::path weights() const { return folder() / "model.safetensors"; }

  // Changes keys of a JSON file in the folder, by merge: null takes a key away.
  void change(const Json& with, const char* file = "config.json") {
    Json json = Json::parse(read_file(folder() / file));
    json.merge_patch(with);
    std::ofstream(folder() / file) << json.dump();
  }
  // The same for keys that are to be there with the value null.
  void set(const char* key, const Json& value, const char* file = "config.json") {
    Json json = Json::parse(read_file(folder() / file));
    json[key] = value;
    std::ofstream(folder() / file) << json.dump();
  }

  template <typename Call>
  static std::string refusal(const Call& call) {
    try {
      call();
    } catch (const Error& error) {
      EXPECT_EQ(error.exit(), Exit::kEnvironment) << error.what();
      return error.what();
    }
    return "accepted";
  }

  TemporaryFolder root_;
};

}  // namespace kvcomm::testing
