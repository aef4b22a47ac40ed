// Files of weights as they should be, and those whose header lies.
#include "model/safetensors.h"

#include <optional>

#include "tests/model/model_fixture.h"

namespace kvcomm::testing {
namespace {

class SafetensorsTest : public ::testing::Test {
 protected:
  fs::path path() const { return root_.path() / "x.safetensors"; }

  // A file with that header, and so many bytes of data: 0, 1, 2, ...
  void write(const std::string& header, size_t data,
             std::optional<uint64_t> header_bytes = std::nullopt) const {
    const uint64_t size = header_bytes.value_or(header.size());
    std::string bytes(reinterpret_cast<const char*>(&size), sizeof size);
    bytes += header;
    for (size_t i = 0; i < data; ++i) bytes += static_cast<char>(i);
    std::ofstream(path(), std::ios::binary) << bytes;
  }
  // The same of one tensor, "t".
  void write_one(const std::string& entry, size_t data) const {
    write(R"({"t":)" + entry + "}", data);
  }

  std::string refusal() const {
    try {
      SafetensorsFile file(path());
    } catch (const Error& error) {
      EXPECT_EQ(error.exit(), Exit::kEnvironment);
      EXPECT_THAT(error.what(), HasSubstr("x.safetensors"));
      return error.what();
    }
    return "accepted";
  }

  TemporaryFolder root_;
};

TEST_F(SafetensorsTest, TensorsAreTheBytesAtTheirOffsets) {
  const Tensors written{{"a", at::randn({2, 3})},
                        {"b.c", at::randn({5}).to(at::kBFloat16)},
                        {"none", at::empty({0, 4})},
                        {"scalar", at::tensor(2.5F).squeeze()}};
  write_tensors(path(), written);
  const Tensors read = read_tensors(path());
  ASSERT_EQ(read.size(), written.size());
  for (const auto& [name, tensor] : written) {
    EXPECT_EQ(read.at(name).scalar_type(), tensor.scalar_type());
    EXPECT_TRUE(at::equal(read.at(name), tensor)) << name;
  }
}

TEST_F(SafetensorsTest, EveryDtypeThatIsReadHasItsSize) {
  for (const auto& [name, type] : std::map<std::string, at::ScalarType>{{"BF16", at::kBFloat16},
                                                                        {"F16", at::kHalf},
                                                                        {"F32", at::kFloat},
                                                                        {"F64", at::kDouble},
                                                                        {"I64", at::kLong}}) {
    const size_t bytes = 3 * at::elementSize(type);
    write_one(fmt::format(R"({{"dtype":"{}","shape":[3],"data_offsets":[0,{}]}})", name, bytes),
              bytes);
    EXPECT_EQ(SafetensorsFile(path()).tensor("t").scalar_type(), type);
  }
}

TEST_F(SafetensorsTest, ATensorOutlivesItsFile) {
  write_tensors(path(), {{"t", at::full({1000}, 7.0F)}});
  at::Tensor tensor;
  {
    const SafetensorsFile file(path());
    tensor = file.tensor("t");
  }
  fs::remove(path());
  EXPECT_EQ(tensor.sum().item<float>(), 7000);
}

TEST_F(SafetensorsTest, MetadataIsNoTensor) {
  write(R"({"__metadata__":{"format":"pt"},"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
        4);
  EXPECT_EQ(SafetensorsFile(path()).tensors().size(), 1u);
}

TEST_F(SafetensorsTest, AFileThatIsMissingEmptyOrCutIsRefused) {
  EXPECT_THAT(refusal(), HasSubstr("No such file"));
  std::ofstream(path()).flush();
  EXPECT_THAT(refusal(), HasSubstr("the file is empty"));
  std::ofstream(path()) << "1234567";
  EXPECT_THAT(refusal(), HasSubstr("are cut off: 7 bytes"));
  write("{}", 0, /*header_bytes=*/3);
  EXPECT_THAT(refusal(), HasSubstr("too few for the header of 3 bytes"));
  write("{}", 0, /*header_bytes=*/~uint64_t{0});
  EXPECT_THAT(refusal(), HasSubstr("are cut off"));
  const std::string four = R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  write_one(four, 3);
  EXPECT_THAT(refusal(), HasSubstr("'t' ends at byte 4 of the data, and there are 3"));
  write_one(four, 4);
  EXPECT_EQ(refusal(), "accepted");
}

TEST_F(SafetensorsTest, AHeaderThatIsNoTableOfTensorsIsRefused) {
  for (const char* header :
       {"", "{", "[1]", "nonsense", R"({"t":1})", R"({"t":{}})",
        R"({"t":{"dtype":"F32","shape":[1]}})", R"({"t":{"dtype":"F32","data_offsets":[0,4]}})",
        R"({"t":{"shape":[1],"data_offsets":[0,4]}})",
        R"({"t":{"dtype":4,"shape":[1],"data_offsets":[0,4]}})",
        R"({"t":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}})",
        R"({"t":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}})"}) {
    write(header, 4);
    EXPECT_THAT(refusal(), HasSubstr("cannot be read")) << header;
  }
}

TEST_F(SafetensorsTest, AShapeMustFillItsBytes) {
  for (const char* entry : {R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})",
                            R"({"dtype":"F32","shape":[],"data_offsets":[0,8]})",
                            R"({"dtype":"F32","shape":[1],"data_offsets":[4,0]})",
                            R"({"dtype":"F32","shape":[-1,-1],"data_offsets":[0,4]})",
                            // 4 * 2^62 is 0 in 64 bits.
                            R"({"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]})",
                            R"({"dtype":"F32","shape":[4294967296,4294967296,4],)"
                            R"("data_offsets":[0,0]})"}) {
    write_one(entry, 8);
    EXPECT_THAT(refusal(), HasSubstr("does not fill its bytes")) << entry;
  }
  write_one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4,8]})", 8);
  EXPECT_THAT(refusal(), HasSubstr("has 3 data offsets, not 2"));
}

TEST_F(SafetensorsTest, TensorsMustNotShareBytes) {
  const auto with_second = [&](int begin, int end) {
    write(fmt::format(R"({{"late":{{"dtype":"F32","shape":[2],"data_offsets":[{},{}]}},)"
                      R"("a":{{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}}})",
                      begin, end),
          16);
    return refusal();
  };
  EXPECT_THAT(with_second(4, 12), AllOf(HasSubstr("'a'"), HasSubstr("'late'"), HasSubstr("share")));
  EXPECT_THAT(with_second(0, 8), HasSubstr("share"));
  EXPECT_EQ(with_second(8, 16), "accepted");
}

}  // namespace
}  // namespace kvcomm::testing
