// TOML: a sweep, which once read must read back from its own text; the text of a --set; prompts.
#include <cstdio>
#include <cstdlib>

#include "config/config.h"
#include "tests/config/config_fixture.h"
#include "tests/fuzz/fuzz.h"
#include "text/prompts.h"

namespace kvcomm {

namespace {

void read_sweep(const std::filesystem::path& file) {
  const Config config = load_config(file);
  const std::string text = config_toml(config);
  show_config(config);
  read_data_sets(text);
  static const testing::InputFolder again{"again.toml"};
  again.put(reinterpret_cast<const uint8_t*>(text.data()), text.size());
  try {
    if (config_toml(load_config(again / "again.toml")) == text) return;
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
  }
  std::fprintf(stderr, "This does not read back as the same:\n%s\n", text.c_str());
  std::abort();
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  static const testing::InputFolder folder{"sweep.toml"}, small{"small.toml"};
  folder.put(bytes, size);
  testing::answered([&] { read_sweep(folder / "sweep.toml"); });
  testing::answered([&] { Prompts::load(folder / "sweep.toml"); });
  small.put(reinterpret_cast<const uint8_t*>(testing::kSmall.data()), testing::kSmall.size());
  const std::string set(bytes, bytes + size);
  testing::answered([&] { load_config(small / "small.toml", std::span(&set, 1)); });
  return 0;
}

}  // namespace kvcomm
