// Puts inputs to a fuzzer's readers without a fuzzer: the committed corpus, and what is made of it
// by cutting, flipping bits, breaking UTF-8, deep nesting and a line of 50 MB. Most failures end
// the program: the last test that ctest's log names is the one.
#include <cstring>
#include <random>
#include <regex>

#include "base/files.h"
#include "tests/fuzz/fuzz.h"

namespace kvcomm {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFuzzer = KVCOMM_FUZZER;

void put(std::string_view input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

void add_files(const fs::path& folder, std::vector<std::string>& inputs) {
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) inputs.push_back(read_file(entry.path()));
  }
}

const std::vector<std::string>& corpus() {
  static const std::vector<std::string> inputs = [] {
    std::vector<std::string> read;
    const fs::path seeds = KVCOMM_SEEDS;
    if (!seeds.empty()) add_files(testing::source_dir() / seeds, read);
    add_files(testing::source_dir() / "tests/fuzz/corpus" / kFuzzer, read);
    return read;
  }();
  return inputs;
}

std::string repeated(std::string_view text, size_t times) {
  std::string all;
  all.reserve(text.size() * times);
  for (size_t i = 0; i < times; ++i) all += text;
  return all;
}

// The input with a value of JSON or TOML, the number-th of its texts, numbers and flags, replaced;
// "" where it has no more. A safetensors header's length goes along.
std::string with_value(const std::string& input, size_t number, const std::string& value) {
  static const std::regex values(R"re([:=]\s*("[^"\\]*"|[-+.\w]+))re");
  std::sregex_iterator found(input.begin(), input.end(), values);
  for (size_t i = 0; i < number && found != std::sregex_iterator(); ++i) ++found;
  if (found == std::sregex_iterator()) return "";
  std::string made = input;
  made.replace(static_cast<size_t>(found->position(1)), static_cast<size_t>(found->length(1)),
               value);
  const bool has_length = kFuzzer == "safetensors" && input.size() > 8 && input[7] == '\0';
  if (!has_length) return made;
  uint64_t length = 0;
  std::memcpy(&length, input.data(), sizeof length);
  length += made.size() - input.size();
  std::memcpy(made.data(), &length, sizeof length);
  return made;
}

TEST(Corpus, IsAnswered) {
  ASSERT_FALSE(corpus().empty());
  for (const std::string& input : corpus()) put(input);
}

TEST(MadeUp, CutAnywhere) {
  for (const std::string& input : corpus()) {
    const size_t step = 1 + input.size() / 100;
    for (size_t size = 0; size < input.size(); size += step) put(input.substr(0, size));
  }
}

TEST(MadeUp, WithFlippedBits) {
  std::mt19937 random(42);
  for (int i = 0; i < 3000; ++i) {
    std::string input = corpus()[random() % corpus().size()];
    for (auto flips = random() % 4 + 1; flips > 0 && !input.empty(); --flips) {
      input[random() % input.size()] ^= static_cast<char>(1 << random() % 8);
    }
    put(input);
  }
}

TEST(MadeUp, NoUtf8) {
  for (const std::string& input : corpus()) {
    const size_t step = 1 + input.size() / 10;
    for (const char* broken : {"\xFF", "\xC3", "\xED\xA0\x80", "\xF4\x90\x80\x80"}) {
      for (size_t at = 0; at <= input.size(); at += step) {
        put(std::string(input).insert(at, broken));
      }
    }
  }
}

TEST(MadeUp, DeeplyNested) {
  constexpr size_t kLevels = 100'000;
  for (const auto& [open, close] : {std::pair("[", "]"), {"{\"a\":", "}"}, {"{a=", "}"}}) {
    const std::string opened = repeated(open, kLevels);
    const std::string nested = opened + "1" + repeated(close, kLevels);
    for (const std::string& deep : {opened, nested}) {
      put(deep);
      put("x=" + deep);
    }
    for (const std::string& input : corpus()) {
      if (input.size() > 4096) continue;
      std::string made = with_value(input, 0, nested);
      for (size_t i = 1; !made.empty(); made = with_value(input, i++, nested)) put(made);
    }
  }
  const std::string dotted = "a" + repeated(".a", kLevels);
  for (const std::string& table : {dotted + "=1", "[" + dotted + "]", "x={" + dotted + "=1}"}) {
    put(table);
  }
  const std::string allowed = repeated("{a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a=", 250);
  put("[run]\nx=" + allowed + "1" + repeated("}", 250));
}

TEST(MadeUp, ALineOf50Megabytes) {
  constexpr size_t kBytes = 50'000'000;
  const std::string text(kBytes, 'a');
  for (const std::string& line :
       {text, std::string(kBytes, '['), repeated("a, ", kBytes / 3), repeated("x.", kBytes / 2)}) {
    put(line);
  }
  const std::string made = with_value(corpus().front(), 0, '"' + text + '"');
  if (!made.empty()) put(made);
}

}  // namespace
}  // namespace kvcomm
