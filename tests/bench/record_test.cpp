// The file that a measurement leaves behind.
#include "bench/record.h"

#include <gmock/gmock.h>

#include <fstream>

#include "base/error.h"
#include "base/files.h"
#include "tests/support/paths.h"

namespace kvcomm::bench {
namespace {

TEST(Record, ItSaysWhereTheNumbersComeFrom) {
  const testing::TemporaryFolder folder;
  const auto path = folder.path() / "new/record.json";
  const WireReport report{
      .shape = "1 layer",
      .rows = {{.tokens = 3, .bytes = 8, .message = {2, 1, 4}, .without_sums = {1}}}};
  require_place_for_record(path);
  write_record(path, {"kvcomm", "bench", "wire"}, to_json(report));
  const auto json = nlohmann::json::parse(read_file(path));
  EXPECT_EQ(json.at("argv"), nlohmann::json({"kvcomm", "bench", "wire"}));
  for (const char* key : {"date", "version", "commit", "dependencies", "machine"}) {
    EXPECT_NE(json.at(key), "") << key;
  }
  const auto& row = json.at("rows").at(0);
  EXPECT_EQ(row.at("message_s"), nlohmann::json({2, 1, 4}));
  EXPECT_EQ(row.at("bytes_per_s"), 4);
  EXPECT_FALSE(row.contains("share_of_bare"));
  require_place_for_record(path);  // its own kind is replaced
}

TEST(Record, AnotherFileIsNotReplaced) {
  const testing::TemporaryFolder folder;
  for (const char* content : {"", "{}", "[1]", "{\"record\": 1}", "a b"}) {
    const auto path = folder.path() / "mine.json";
    std::ofstream(path) << content;
    try {
      require_place_for_record(path);
      ADD_FAILURE() << "'" << content << "' would be replaced";
    } catch (const Error& error) {
      EXPECT_EQ(error.exit(), Exit::kUsage);
      EXPECT_THAT(error.what(), ::testing::HasSubstr("is no record of `kvcomm bench`"));
    }
  }
}

}  // namespace
}  // namespace kvcomm::bench
