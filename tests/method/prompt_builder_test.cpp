// What is asked: prefixes, models that think, prompts cut in their middle, answers of vectors
// spliced in.
#include "method/prompt_builder.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>

#include "base/error.h"
#include "base/files.h"
#include "tests/method/tiny_model.h"

namespace kvcomm::testing {
namespace {

using Ids = std::vector<int64_t>;

class PromptBuilderTest : public ::testing::Test {
 protected:
  PromptBuilderTest() {
    make_tiny_model(folder_.path() / "model");
    const auto file = folder_.path() / "model/tokenizer.json";
    std::string tokenizer = read_file(file);  // with a token that opens a thought
    const std::string before = R"({"id":426,)";
    tokenizer.replace(tokenizer.find(before), before.size(),
                      R"({"id":427,"content":"<think>","single_word":false,"lstrip":false,)"
                      R"("rstrip":false,"normalized":false,"special":true},)" +
                          before);
    std::ofstream(file) << tokenizer;
    std::ofstream(folder_.path() / "prompts.toml") << R"(
[qa]
sender = "Read <think>{context}"
sender_summary = "Sum up: {context}"
receiver = "Q: {question}"
skyline = "{context} {question}"
baseline = "{question}"
refine = "{prompt} mine <{own_answer}> theirs <{other_answers}>."
other_answer = "{index}: {answer}"
)";
  }

  PromptBuilder prompt_builder(PromptBuilder::Options options = {}) const {
    options.dataset = "demo";
    options.kind = "qa";
    options.date = "2024-07-26";
    return PromptBuilder(Prompts::load(folder_.path() / "prompts.toml"), text(), options);
  }
  std::shared_ptr<const Text> text() const {
    const auto folder = folder_.path() / "model";
    return std::make_shared<const Text>(Text{Tokenizer::load(folder), ChatTemplate::load(folder)});
  }
  Ids encode(std::string_view piece) const { return text()->tokenizer.encode(piece, false); }
  static Ids joined(Ids ids, const Ids& more) {
    ids.insert(ids.end(), more.begin(), more.end());
    return ids;
  }

  TemporaryFolder folder_;
  const Sample sample_{.index = 3,
                       .id = "s",
                       .contexts = {"The ship came in before the storm."},
                       .question = "What came in?",
                       .answers = {"ship"}};
};

TEST_F(PromptBuilderTest, AModelThatThinksHasItsThoughtClosedBeforeItAnswers) {
  const PromptBuilder plain = prompt_builder(),
                      thinks = prompt_builder({.thinking = {.sender = true}}),
                      other = prompt_builder({.thinking = {.receiver = true}});
  const Ids close = encode("</think>\n\n");
  ASSERT_FALSE(close.empty());
  EXPECT_EQ(other.receiver(sample_), joined(plain.receiver(sample_), close));
  EXPECT_EQ(thinks.receiver(sample_), plain.receiver(sample_));
  EXPECT_EQ(thinks.sender(sample_, 0, Reading::kSay),
            joined(plain.sender(sample_, 0, Reading::kSay), close));
  Ids read = plain.sender(sample_, 0);
  EXPECT_EQ(std::erase(read, 427), 1u);
  EXPECT_EQ(thinks.sender(sample_, 0), read);
  EXPECT_EQ(other.baseline(sample_, End::kReceiver),
            joined(plain.baseline(sample_, End::kReceiver), close));
  EXPECT_EQ(other.baseline(sample_, End::kSender), plain.baseline(sample_, End::kSender));
  const std::vector<std::string> others{"b"};
  EXPECT_EQ(other.refine(sample_, "a", others).ids,
            joined(plain.refine(sample_, "a", others).ids, close));
}

TEST_F(PromptBuilderTest, AThoughtIsClosedBeforeTheAnswerBegins) {
  std::ofstream(folder_.path() / "prompts.toml", std::ios::app) << "answer_prefix = \"So it is\"\n";
  const Ids end = joined(encode("</think>\n\n"), encode("So it is"));
  const Ids asked = prompt_builder({.thinking = {.receiver = true}}).receiver(sample_);
  EXPECT_EQ(Ids(asked.end() - std::ssize(end), asked.end()), end);
}

TEST_F(PromptBuilderTest, LongPromptsKeepTheirEnds) {
  const Ids whole = prompt_builder().sender(sample_, 0);
  const auto question = std::ssize(prompt_builder().receiver(sample_));
  const int64_t room = std::ssize(whole) - 5;
  const Ids cut =
      prompt_builder({.max_input_tokens = question + room, .truncates = true}).sender(sample_, 0);
  const int64_t half = room / 2;
  EXPECT_EQ(cut,
            joined(Ids(whole.begin(), whole.begin() + half), Ids(whole.end() - half, whole.end())));

  const Ids skyline = prompt_builder().skyline(sample_, End::kReceiver);
  const int64_t most = std::ssize(skyline) - 4;
  EXPECT_EQ(prompt_builder({.max_input_tokens = most, .truncates = true})
                .skyline(sample_, End::kReceiver),
            joined(Ids(skyline.begin(), skyline.begin() + most / 2),
                   Ids(skyline.end() - most / 2, skyline.end())));
  EXPECT_EQ(prompt_builder({.max_input_tokens = 4000, .truncates = true}).sender(sample_, 0),
            whole);
}

TEST_F(PromptBuilderTest, AThoughtsEndStandsBeforeTheReceiversAnswersAlone) {
  std::ofstream(folder_.path() / "prompts.toml", std::ios::app) << "answer_prefix = \"So it is\"\n";
  const PromptBuilder plain = prompt_builder(),
                      ends = prompt_builder({.thinking = {.end = "<think>\n\n"}});
  const Ids prefix = encode("So it is"), marked = encode("<think>\n\nSo it is");
  const auto expected = [&](Ids ids) {
    ids.resize(ids.size() - prefix.size());
    return joined(ids, marked);
  };
  EXPECT_EQ(ends.receiver(sample_), expected(plain.receiver(sample_)));
  EXPECT_EQ(ends.baseline(sample_, End::kReceiver),
            expected(plain.baseline(sample_, End::kReceiver)));
  const std::vector<std::string> others{"storm"};
  EXPECT_EQ(ends.refine(sample_, "ship", others).ids,
            expected(plain.refine(sample_, "ship", others).ids));
  EXPECT_EQ(ends.baseline(sample_, End::kSender), plain.baseline(sample_, End::kSender));
  EXPECT_EQ(ends.sender(sample_, 0), plain.sender(sample_, 0));
}

TEST_F(PromptBuilderTest, AThoughtsEndThatIsCutOtherwiseInContextIsRefused) {
  EXPECT_NO_THROW(prompt_builder({.thinking = {.end = "<think>"}}).require_thought_ends(sample_));
  std::ofstream(folder_.path() / "prompts.toml", std::ios::app) << "answer_prefix = \"ip\"\n";
  EXPECT_THAT(
      [&] { prompt_builder({.thinking = {.end = "<think>sh"}}).require_thought_ends(sample_); },
      ::testing::ThrowsMessage<Error>(::testing::AllOf(::testing::HasSubstr("\"<think>sh\""),
                                                       ::testing::HasSubstr("answer_prefix"))));
}

// official_behaviour.md, 13: one half of the room each, the first of the first prompt, the last of
// the last; a shorter one stays whole, and the other is still cut.
TEST_F(PromptBuilderTest, SendersShareTheRoomThatTheReceiverLeaves) {
  Sample sample = sample_;
  std::string long_text;
  for (int i = 0; i < 40; ++i) long_text += " the harbour master wrote down every ship";
  sample.contexts = {"The ship came in.", long_text};
  const PromptBuilder whole = prompt_builder();
  const Ids first = whole.sender(sample, 0), second = whole.sender(sample, 1);
  const auto question = std::ssize(whole.receiver(sample));
  const int64_t room = std::ssize(second) - 3, half = room / 2;
  ASSERT_LT(std::ssize(first), half);
  const PromptBuilder cut =
      prompt_builder({.max_input_tokens = question + room, .truncates = true});
  EXPECT_EQ(cut.sender(sample, 0), first);
  EXPECT_EQ(cut.sender(sample, 1), Ids(second.end() - half, second.end()));
  std::ranges::reverse(sample.contexts);
  EXPECT_EQ(cut.sender(sample, 0), Ids(second.begin(), second.begin() + half));
  EXPECT_EQ(cut.sender(sample, 1), first);
  const PromptBuilder fits = prompt_builder(
      {.max_input_tokens = question + std::ssize(first) + std::ssize(second), .truncates = true});
  EXPECT_EQ(fits.sender(sample, 0), second);
}

TEST_F(PromptBuilderTest, EachSendersAnswerIsALineOfTheRefinePrompt) {
  const std::vector<std::string> others{"storm", "rain"};
  const Ids ids = prompt_builder().refine(sample_, "ship", others).ids;
  EXPECT_THAT(text()->tokenizer.decode(ids),
              ::testing::HasSubstr("mine <ship> theirs <1: storm\n2: rain>."));
}

TEST_F(PromptBuilderTest, SamplesOfAMixHaveTheirOwnDataSetsPrompts) {
  std::ofstream(folder_.path() / "prompts.toml", std::ios::app)
      << "[tipsheets]\nreceiver = \"T: {question}\"\n";
  Sample tip = sample_;
  tip.dataset = "tipsheets";
  Sample country = sample_;
  country.dataset = "countries";
  const PromptBuilder builder = prompt_builder();
  EXPECT_THAT(text()->tokenizer.decode(builder.receiver(tip)), ::testing::HasSubstr("T: "));
  EXPECT_THAT(text()->tokenizer.decode(builder.receiver(country)), ::testing::HasSubstr("Q: "));
}

TEST_F(PromptBuilderTest, WhatDoesNotFitIsRefusedWithItsLength) {
  const PromptBuilder small = prompt_builder({.max_input_tokens = 9});
  EXPECT_THAT(
      [&] { small.skyline(sample_, End::kReceiver); },
      ::testing::ThrowsMessage<Error>(::testing::AllOf(::testing::HasSubstr("sample 3 ('s')"),
                                                       ::testing::HasSubstr("max_input_tokens"))));
  // A question that leaves no room is not cut away, nor the context.
  EXPECT_THROW(prompt_builder({.max_input_tokens = 9, .truncates = true}).sender(sample_, 0),
               Error);
  const at::Tensor vectors = at::zeros({30, 32});
  EXPECT_THROW(prompt_builder({.max_input_tokens = 40, .truncates = true})
                   .refine(sample_, vectors, std::vector<at::Tensor>{vectors}),
               Error);
}

TEST_F(PromptBuilderTest, APromptOfNoTokensIsRefusedByName) {
  std::ofstream(folder_.path() / "model/chat_template.jinja") << "{{ '' }}";
  const PromptBuilder nothing = prompt_builder();
  for (const auto& ask : {std::function<void()>([&] { nothing.sender(sample_, 0); }),
                          std::function<void()>([&] { nothing.receiver(sample_); })}) {
    EXPECT_THAT(ask,
                ::testing::ThrowsMessage<Error>(::testing::AllOf(
                    ::testing::HasSubstr("sample 3 ('s')"), ::testing::HasSubstr("has no token"))));
  }
}

TEST_F(PromptBuilderTest, AnswersOfVectorsStandWhereTextWould) {
  const at::Tensor own = at::full({2, 32}, 1.0), theirs = at::full({3, 32}, 2.0);
  const Prompt prompt = prompt_builder().refine(sample_, own, std::vector<at::Tensor>{theirs});
  Ids expected = encode("<bos>Q: What came in? mine <");  // the template writes the <bos>
  expected.insert(expected.end(), 2, Prompt::kVector);
  expected = joined(expected, encode("> theirs <1: "));
  expected.insert(expected.end(), 3, Prompt::kVector);
  expected = joined(expected, encode(">. -- "));
  EXPECT_EQ(prompt.ids, expected);
  EXPECT_TRUE(at::equal(prompt.vectors, at::cat({own, theirs})));
}

TEST_F(PromptBuilderTest, AnEosThatEndedAnAnswerIsNoPartOfIt) {
  const Ids the = encode("the!"), marks = encode("!!");
  const std::array<int64_t, 2> eos{the.back(), 7};
  EXPECT_EQ(prompt_builder().said(the, eos), "the");
  EXPECT_EQ(prompt_builder().said(marks, eos), "!");  // the last one ended it
  EXPECT_EQ(prompt_builder().said(the, std::array<int64_t, 1>{7}), "the!");
  EXPECT_EQ(prompt_builder().said({}, eos), "");
}

TEST_F(PromptBuilderTest, SpacesAreCleanedUpWhereTheRunAndTheTokenizerSaySo) {
  const Ids ids = encode("it 's x != y .");
  EXPECT_EQ(prompt_builder({.fidelity = Fidelity::release()}).said(ids, {}), "it 's x != y .");
  const auto file = folder_.path() / "model/tokenizer_config.json";
  std::string config = read_file(file);
  std::ofstream(file) << config.replace(0, 1, R"({"clean_up_tokenization_spaces": true, )");
  EXPECT_EQ(prompt_builder().said(ids, {}), "it 's x != y .");
  EXPECT_EQ(prompt_builder({.fidelity = Fidelity::release()}).said(ids, {}), "it's x!= y.");
}

TEST_F(PromptBuilderTest, WhatMarksAnswersMustNotStandInTheWording) {
  const std::vector<at::Tensor> others{at::zeros({3, 32})};
  std::ofstream(folder_.path() / "prompts.toml", std::ios::app)
      << "question_suffix = \" \uE000\"\n";
  EXPECT_THAT(
      [&] {
        prompt_builder().refine(sample_, at::zeros({2, 32}), others);
      },
      ::testing::ThrowsMessage<Error>(::testing::HasSubstr("U+E000")));
}

TEST_F(PromptBuilderTest, WordsStandWhereTheyBelong) {
  const std::vector<std::string> others{"{own_answer}", " two "};
  EXPECT_EQ(prompt_builder().refine(sample_, "one", others).ids,
            encode("<bos>Q: What came in? mine <one> theirs <1: {own_answer}\n2:  two >. -- "));
}

}  // namespace
}  // namespace kvcomm::testing
