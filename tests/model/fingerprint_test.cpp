// Fingerprints of weights: every byte counts, and what is kept of them is never wrong.
#include "model/fingerprint.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cstdlib>
#include <thread>

#include "base/hash.h"
#include "tests/model/model_fixture.h"

namespace kvcomm::testing {
namespace {

class FingerprintTest : public ModelTest {
 protected:
  FingerprintTest() { use_cache((root_.path() / "cache").string()); }
  ~FingerprintTest() override {
    if (before_.empty()) {
      ::unsetenv("XDG_CACHE_HOME");
    } else {
      use_cache(before_);
    }
  }

  static void use_cache(const std::string& folder) {
    ::setenv("XDG_CACHE_HOME", folder.c_str(), /*overwrite=*/1);
  }

  std::string fingerprint() const { return weights_fingerprint(folder()); }
  std::optional<std::string> known() const { return known_fingerprint(folder()); }

  // The one file that is kept.
  fs::path kept() const {
    const fs::path kept = root_.path() / "cache/kvcomm/weights";
    EXPECT_EQ(std::distance(fs::directory_iterator(kept), fs::directory_iterator()), 1);
    return fs::directory_iterator(kept)->path();
  }

  void flip(uint64_t place) const {
    std::fstream file(weights(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(place));
    const int byte = file.get();
    file.seekp(static_cast<std::streamoff>(place));
    file.put(static_cast<char>(byte ^ 1));
  }

 private:
  const std::string before_ = std::getenv("XDG_CACHE_HOME") ? std::getenv("XDG_CACHE_HOME") : "";
};

TEST_F(FingerprintTest, EveryByteCounts) {
  const uint64_t size = fs::file_size(weights());
  const std::string first = fingerprint();
  for (uint64_t place = 0; place < size; place += size / 31) {
    flip(place);
    EXPECT_NE(fingerprint(), first) << place;
    flip(place);
  }
  EXPECT_EQ(fingerprint(), first);
}

TEST_F(FingerprintTest, SoDoesEveryByteOfEveryPiece) {
  constexpr uint64_t kPiece = uint64_t{64} << 20;
  fs::resize_file(weights(), 2 * kPiece + 17);
  const std::string first = fingerprint();
  for (const uint64_t place : {kPiece / 2, kPiece - 1, kPiece, kPiece + 12345, 2 * kPiece + 16}) {
    flip(place);
    EXPECT_NE(fingerprint(), first) << place;
    flip(place);
  }
  fs::resize_file(weights(), 2 * kPiece + 18);
  EXPECT_NE(fingerprint(), first);
}

TEST_F(FingerprintTest, IsMadeOfConfigurationNamesSizesAndHashes) {
  const std::string bytes = read_file(weights());
  const std::string file = hash128_hex(hash128_hex(bytes));  // one piece
  EXPECT_EQ(fingerprint(), hash128_hex(fmt::format("{}\nmodel.safetensors {} {}",
                                                   hash128_hex(read_file(folder() / "config.json")),
                                                   bytes.size(), file)));
  const std::string first = fingerprint();
  change({{"rope_theta", 10001.0}});
  EXPECT_NE(fingerprint(), first);
}

TEST_F(FingerprintTest, IsKnownOnceItWasMade) {
  EXPECT_FALSE(known());
  const std::string first = fingerprint();
  EXPECT_EQ(known(), first);
  change({{"rope_theta", 10001.0}});  // read anew each time
  ASSERT_TRUE(known());
  EXPECT_NE(known(), first);
}

TEST_F(FingerprintTest, WhatIsKeptIsUsed) {
  const std::string first = fingerprint();
  std::string text = read_file(kept());
  const size_t hash = text.size() - 16 - 32;
  text.replace(hash, 32, std::string(32, 'a'));
  text.replace(hash + 32, 16, hash64_hex(std::string_view(text).substr(0, hash + 32)));
  std::ofstream(kept()) << text;
  EXPECT_NE(fingerprint(), first);
}

TEST_F(FingerprintTest, AChangeIsSeenThoughTheTimeIsPutBack) {
  const std::string first = fingerprint();
  struct stat before {};
  ASSERT_EQ(::stat(weights().c_str(), &before), 0);
  flip(fs::file_size(weights()) / 2);
  const timespec times[] = {before.st_atim, before.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, weights().c_str(), times, 0), 0);
  EXPECT_FALSE(known());
  EXPECT_NE(fingerprint(), first);
}

TEST_F(FingerprintTest, AChangeRightAfterTheReadingIsSeen) {
  for (int i = 0; i < 20; ++i) {
    flip(1000);
    const std::string before = fingerprint();
    flip(1001);
    EXPECT_NE(fingerprint(), before);
  }
}

TEST_F(FingerprintTest, AnotherFileAtThePathIsSeen) {
  const std::string first = fingerprint();
  fs::copy_file(weights(), root_.path() / "other");
  fs::rename(root_.path() / "other", weights());
  EXPECT_FALSE(known());
  EXPECT_EQ(fingerprint(), first);
}

TEST_F(FingerprintTest, WhatIsKeptAndBrokenIsNotUsed) {
  const std::string first = fingerprint();
  const std::string whole = read_file(kept());
  const auto with = [&](const std::string& text) {
    std::ofstream(kept(), std::ios::binary) << text;
    const auto seen = known();
    EXPECT_EQ(fingerprint(), first);
    EXPECT_EQ(known(), first);  // mended
    return seen;
  };
  for (size_t place = 0; place < whole.size(); place += 3) {
    std::string text = whole;
    text[place] = static_cast<char>(text[place] ^ 1);
    EXPECT_FALSE(with(text)) << place;
    EXPECT_FALSE(with(whole.substr(0, place))) << place;
  }
  EXPECT_FALSE(with(whole + "\n"));
  EXPECT_EQ(with(whole), first);
  const fs::path place = kept();
  fs::remove(place);
  fs::create_directory(place);
  EXPECT_FALSE(known());
  EXPECT_EQ(fingerprint(), first);
}

TEST_F(FingerprintTest, NoCacheIsNoHindrance) {
  const std::string first = fingerprint();
  use_cache("/dev/null/none");
  EXPECT_FALSE(known());
  EXPECT_EQ(fingerprint(), first);
  use_cache("not/absolute");  // as good as unset
  const std::string home = std::getenv("HOME") ? std::getenv("HOME") : "";
  ::setenv("HOME", root_.path().c_str(), 1);
  EXPECT_EQ(fingerprint(), first);
  EXPECT_TRUE(fs::exists(root_.path() / ".cache/kvcomm/weights"));
  ::unsetenv("HOME");
  EXPECT_FALSE(known());
  EXPECT_EQ(fingerprint(), first);
  if (!home.empty()) ::setenv("HOME", home.c_str(), 1);
}

TEST_F(FingerprintTest, ManyMayMakeItAtOnce) {
  std::vector<std::string> made(8);
  {
    std::vector<std::jthread> makers;
    for (std::string& one : made) makers.emplace_back([&] { one = fingerprint(); });
  }
  for (const std::string& one : made) EXPECT_EQ(one, made.front());
  EXPECT_EQ(known(), made.front());
}

TEST_F(FingerprintTest, WhatIsNotThereIsNamed) {
  fs::remove(weights());
  std::ofstream(folder() / "model.safetensors.index.json")
      << R"({"weight_map": {"x": "model-1.safetensors"}})";
  EXPECT_THAT(refusal([&] { fingerprint(); }),
              AllOf(HasSubstr("model-1.safetensors"), HasSubstr("No such file")));
}

}  // namespace
}  // namespace kvcomm::testing
