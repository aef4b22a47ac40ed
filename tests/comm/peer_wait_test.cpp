// What an end of a pipe does while its peer is slow, and when it is gone: in one process, with
// signs of life that the test makes up.
#include "comm/peer_wait.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <sstream>

#include "tests/comm/fixtures.h"

namespace kvcomm::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr Seconds kTimeout_s = 0.1;

// That so many samples of tokens come, which the peer generates first.
Expected tokens(size_t samples) {
  Expected expected = expectation(token_header());
  expected.samples = samples;
  return expected;
}

EndOptions options(SilentFor silent_s) {
  return {.timeout_s = kTimeout_s,
          .peer = "rank 0 (sender of lane 0) on node7",
          .peer_silent_s = std::move(silent_s)};
}

TEST(PeerWait, ASilentPeerIsNamedLongBeforeTheDeadlineOfItsWork) {
  const Stopwatch watch;
  LoopbackPipe pipe(options([&] { return watch.elapsed_s(); }));
  Exit exit = Exit::kOk;
  EXPECT_THAT(error_of([&] { pipe.receiver.next(tokens(1000)); }, &exit),
              AllOf(HasSubstr("for the header of the tokens message of task 7, cell 2 from rank 0 "
                              "(sender of lane 0) on node7"),
                    HasSubstr("gave no sign of life"), HasSubstr("run.timeout_s = 0.1 s")));
  EXPECT_EQ(exit, Exit::kEnvironment);
  EXPECT_LT(watch.elapsed_s(), 10);  // of the 100 that its work may take
  EXPECT_TRUE(pipe.receiver.broken());
}

TEST(PeerWait, APeerThatGivesSignsOfLifeHasTheTimeOfItsWork) {
  LoopbackPipe pipe(options([] { return 0; }));
  const Stopwatch watch;
  EXPECT_THAT(error_of([&] { pipe.receiver.next(tokens(5)); }),
              AllOf(HasSubstr("Waited 0.5 s"), HasSubstr("in vain")));
  EXPECT_GE(watch.elapsed_s(), 5 * kTimeout_s);
}

TEST(PeerWait, SilenceWhilePayloadIsUnderWayIsNoLossOfTheNetworks) {
  Seconds silent_s = 0;
  LoopbackPipe pipe(options([&] { return silent_s; }));
  const Header header = kv_header({0});
  OutgoingMessage message = pipe.sender.offer(header);
  IncomingMessage incoming = pipe.receiver.next(expectation(header));
  incoming.accept();
  silent_s = 1;
  EXPECT_THAT(error_of([&] { incoming.take(); }),
              AllOf(HasSubstr("for the end of the kv message"), HasSubstr("no sign of life")));
}

TEST(PeerWait, ALongWaitSaysWhatItIsFor) {
  std::ostringstream text;
  const auto logger = spdlog::default_logger();
  spdlog::set_default_logger(std::make_shared<spdlog::logger>(
      "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(text)));
  PeerWait wait("the header of a kv message", "rank 1 (receiver) on node7",
                {.in_all_s = 0.5, .in_silence_s = 20, .first_word_s = 0.1}, [] { return 2.5; });
  EXPECT_FALSE(wait.until([] { return false; }));
  spdlog::set_default_logger(logger);
  const std::string log = text.str();
  EXPECT_THAT(log, HasSubstr("Waiting for the header of a kv message"));
  EXPECT_THAT(log,
              HasSubstr("from rank 1 (receiver) on node7, which gave a sign of life 2.5 s ago."));
  EXPECT_EQ(std::ranges::count(log, '\n'), 3);  // after 0.1, 0.2 and 0.4 s
}

TEST(Reminder, IsDueAfterEachDoublingOnce) {
  Reminder reminder;
  EXPECT_FALSE(reminder.is_due(29));
  EXPECT_TRUE(reminder.is_due(31));
  EXPECT_FALSE(reminder.is_due(59));
  EXPECT_TRUE(reminder.is_due(250));  // late: it does not catch up
  EXPECT_FALSE(reminder.is_due(479));
  EXPECT_TRUE(reminder.is_due(480));
}

}  // namespace
}  // namespace kvcomm::testing
