// How wide the terminal is that the log goes to.
#include "base/log.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace kvcomm::testing {
namespace {

// Sets a variable of the environment for a test.
class With {
 public:
  With(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~With() { unsetenv(name_); }

 private:
  const char* name_;
};

TEST(TerminalTest, ALauncherSaysHowWideItsTerminalIs) {
  const With term("TERM", "xterm");
  {
    const With told("KVCOMM_TERMINAL", "132");
    EXPECT_EQ(terminal_columns(), 132);
  }
  const With told("KVCOMM_TERMINAL", "yes");
  EXPECT_EQ(terminal_columns(), 80);
}

TEST(TerminalTest, ADumbTerminalIsNone) {
  const With term("TERM", "dumb");
  const With told("KVCOMM_TERMINAL", "132");
  EXPECT_EQ(terminal_columns(), 0);
}

}  // namespace
}  // namespace kvcomm::testing
