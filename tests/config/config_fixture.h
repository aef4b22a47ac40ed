// The smallest sweep, and a fixture that loads sweeps from text or returns the sentence that
// refuses them.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "config/config.h"
#include "tests/support/paths.h"

namespace kvcomm::testing {

// The least that a sweep needs; its lines count in the places that messages name.
inline const std::string kSmall = R"([[pair]]
sender = "org/small"
receiver = "org/small"

[[dataset]]
name = "countries"

[[method]]
name = "baseline"
)";

class ConfigTest : public ::testing::Test {
 protected:
  Config load(const std::string& toml, const std::vector<std::string>& sets = {},
              const Overrides& overrides = {}) {
    std::ofstream(file()) << toml;
    return load_config(file(), sets, overrides);
  }

  // The sentence that refuses the configuration; every refusal is the user's to cure.
  std::string refusal(const std::string& toml, const std::vector<std::string>& sets = {},
                      const Overrides& overrides = {}) {
    try {
      load(toml, sets, overrides);
    } catch (const Error& error) {
      EXPECT_EQ(error.exit(), Exit::kUsage);
      std::string text = error.what();  // with the file's name alone
      for (size_t at = 0; (at = text.find(file().string(), at)) != std::string::npos;) {
        text.replace(at, file().string().size(), "sweep.toml");
      }
      return text;
    }
    return "accepted";
  }

  // Labels of kSmall's methods with these tables added.
  std::vector<std::string> labels(const std::string& methods,
                                  const std::vector<std::string>& sets = {}) {
    std::vector<std::string> all;
    for (const MethodSpec& method : load(kSmall + methods, sets).methods) {
      all.push_back(method.label());
    }
    return {all.begin() + 1, all.end()};
  }

  std::filesystem::path file() const { return folder_.path() / "sweep.toml"; }

 private:
  TemporaryFolder folder_;
};

}  // namespace kvcomm::testing
