// Chat templates: small ones of our own, and the real ones where the folder of real inputs is
// there.
#include "text/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "tests/support/paths.h"

namespace kvcomm {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;

constexpr std::string_view kDate = "2024-07-26";

std::string render(const std::string& source, std::string_view message = "Hi",
                   std::string_view date = kDate) {
  return ChatTemplate(source, "<s>", "</s>").render(message, date);
}

ChatTemplate load_with_config(const json& config) {
  const testing::TemporaryFolder folder;
  write_file_atomic(folder.path() / "tokenizer_config.json", config.dump());
  return ChatTemplate::load(folder.path());
}

TEST(ChatTemplate, RendersAMessageWithTheGenerationPrompt) {
  EXPECT_EQ(
      render("{{ bos_token }}{% for m in messages %}[{{ m['role'] }}]{{ m.content }}{{ eos_token }}"
             "{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"),
      "<s>[user]Hi</s>[assistant]");
}

TEST(ChatTemplate, TrimsBlocksAsTransformersDoes) {
  EXPECT_EQ(
      render("{% for m in messages %}\n    {% if true %}\n  {{ m.content }}\n    {% endif %}\n"
             "{% endfor %}\nend\n"),
      "  Hi\nend");
}

TEST(ChatTemplate, KeepsAnExpressionsIndentation) {
  EXPECT_EQ(render("  {{ bos_token }}\n\t{{ eos_token }}"), "  <s>\n\t</s>");
  EXPECT_EQ(render("a {{ bos_token -}}\n  {{ eos_token }}"), "a <s></s>");
  EXPECT_EQ(render("a\n  {{- bos_token }}"), "a<s>");
}

TEST(ChatTemplate, RendersSeveralTurns) {
  const ChatTemplate chat_template(
      "{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}{{ add_generation_prompt }}",
      "", "");
  const std::array<ChatMessage, 3> turns = {{{"system", "S"}, {"user", "U"}, {"assistant", "A"}}};
  EXPECT_EQ(chat_template.render(turns, kDate, /*add_generation_prompt=*/false),
            "system:S;user:U;assistant:A;False");
}

TEST(ChatTemplate, TakesTheDateFromTheRun) {
  const std::string own = "{{ date_string | default('a day of its own') }}";
  EXPECT_EQ(render(own), "a day of its own");  // as transformers, which gives none
  EXPECT_EQ(render(own, "", "2025-01-31"), "31 Jan 2025");
  EXPECT_EQ(render("{{ strftime_now('%A %d %B %Y, day %j') }}", "", "2025-01-01"),
            "Wednesday 01 January 2025, day 001");
  for (const std::string_view date :
       {"26 Jul 2024", "2024-02-30", "2024-7-26", "", "2024-07-261"}) {
    EXPECT_THROW(render("x", "Hi", date), Error) << date;
  }
}

TEST(ChatTemplate, LeavesMessagesAsTheyAre) {
  const std::string message =
      " {{ bos_token }} {% raw %} <b>&amp;</b> \\n \n\n 'x' \"y\" 世界 \u00a0";
  EXPECT_EQ(render("{{ messages[0].content }}", message), message);
}

TEST(ChatTemplate, LoadsEverySpelling) {
  const json plain = {{"chat_template", "{{ bos_token }}|{{ eos_token }}"},
                      {"bos_token", "<a>"},
                      {"eos_token", {{"content", "<b>"}}}};
  EXPECT_EQ(load_with_config(plain).render("", kDate), "<a>|<b>");
  const json named = {{"chat_template",
                       {{{"name", "rag"}, {"template", "no"}},
                        {{"name", "default"}, {"template", "[{{ bos_token }}]"}}}},
                      {"bos_token", nullptr}};
  EXPECT_EQ(load_with_config(named).render("", kDate), "[]");

  const testing::TemporaryFolder folder;
  write_file_atomic(folder.path() / "tokenizer_config.json", plain.dump());
  write_file_atomic(folder.path() / "chat_template.jinja", "file {{ bos_token }}");
  EXPECT_EQ(ChatTemplate::load(folder.path()).render("", kDate), "file <a>");
}

TEST(ChatTemplate, SaysWhatIsWrong) {
  const auto message_of = [](const auto& action) -> std::string {
    try {
      action();
    } catch (const Error& error) {
      EXPECT_EQ(error.exit(), Exit::kEnvironment);
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(message_of([] { load_with_config(json::object()); }),
              HasSubstr("no 'chat_template'"));
  EXPECT_THAT(message_of([] {
                load_with_config({{"chat_template", {{{"name", "rag"}, {"template", ""}}}}});
              }),
              HasSubstr("named 'default'"));
  EXPECT_EQ(
      message_of([] { render("a\n  {% if %}"); }),
      "The chat template cannot be followed: expected an expression, got the tag's end (line 2: "
      "{% if %}).");
  EXPECT_EQ(message_of([] { render("{% set x = 1 %}\n{{ raise_exception('only\npairs') }}"); }),
            "The chat template cannot be rendered: only pairs (line 2: {{ raise_exception('only).");
  EXPECT_THAT(message_of([] { ChatTemplate("a\xff", "", ""); }), HasSubstr("its byte 1 breaks it"));
  EXPECT_THAT(
      message_of([] {
        load_with_config({{"chat_template", "{{ messages | groupby('role') }}"}});
      }),
      ::testing::AllOf(HasSubstr("The chat template in '/"),
                       HasSubstr("the filter 'groupby' is none that this program follows")));
}

TEST(ChatTemplate, KnowsTheTokensThatAreThere) {
  const json config = {{"chat_template",
                        "{{ pad_token }}|{{ unk_token is defined }}|"
                        "{{ bos_token is defined }}|{{ eos_token }}"},
                       {"pad_token", "<p>"},
                       {"eos_token", "<e>"},
                       {"bos_token", nullptr}};
  EXPECT_EQ(load_with_config(config).render("", kDate), "<p>|False|False|<e>");
}

TEST(ChatTemplate, HashTellsTemplatesApart) {
  EXPECT_EQ(ChatTemplate("a", "b", "c").hash(), ChatTemplate("a", "b", "c").hash());
  EXPECT_NE(ChatTemplate("a", "b", "c").hash(), ChatTemplate("a", "c", "b").hash());
  EXPECT_NE(ChatTemplate("a", "b", "c").hash(), ChatTemplate("x", "b", "c").hash());
  // Other tokens count where the template names them: results that are there keep their keys.
  EXPECT_EQ(ChatTemplate("a", "b", "c", {{"pad_token", "p"}}).hash(),
            ChatTemplate("a", "b", "c").hash());
  EXPECT_NE(ChatTemplate("{{ pad_token }}", "b", "c", {{"pad_token", "p"}}).hash(),
            ChatTemplate("{{ pad_token }}", "b", "c", {{"pad_token", "q"}}).hash());
}

TEST(EncodeChat, WritesOneBos) {
  const Tokenizer tokenizer = Tokenizer::load(testing::source_dir() / "tests/text/fixture");
  const ChatTemplate chat_template("{{ bos_token }}{{ messages[0].content }}", "<bos>", "<eos>");
  const std::vector<int64_t> ids = encode_chat(tokenizer, chat_template, "the", kDate);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), tokenizer.id_of("<bos>")), 1);
  EXPECT_EQ(ids, tokenizer.encode("<bos>the", /*add_special_tokens=*/false));
}

// rendered_expectations.json was made with transformers' own jinja environment. It also has a tenth
// template, of llama.cpp's (models/templates/deepseek-ai-DeepSeek-R1-Distill-Llama-8B.jinja), whose
// file is compared only if somebody has put it there.
TEST(ChatTemplate, AgreesWithTransformersOnRealTemplates) {
  KVCOMM_NEEDS_SHARED();
  const fs::path folder = testing::shared_dir() / "models/templates";
  const json expectations = json::parse(read_file(folder / "rendered_expectations.json"));
  const std::vector<std::pair<std::string, std::string>> families = {
      {"llama-3", "llama"},     {"qw", "qw"},     {"falcon", "falcon"},
      {"deepseek", "deepseek"}, {"smol", "smol"}, {"llama.cpp.deepseek", "deepseek"}};
  int compared = 0;
  for (const auto& [file, renderings] : expectations["rendered"].items()) {
    if (!fs::exists(folder / file)) continue;
    const auto family = std::find_if(families.begin(), families.end(),
                                     [&](const auto& f) { return file.starts_with(f.first); });
    ASSERT_NE(family, families.end()) << file;
    const json& tokens = expectations["tokens"][family->second];
    const ChatTemplate chat_template(read_file(folder / file), tokens[0], tokens[1]);
    for (const auto& [name, expected] : renderings.items()) {
      const size_t slash = name.find('/');
      std::vector<ChatMessage> messages;
      for (const json& m : expectations["cases"][name.substr(0, slash)])
        messages.push_back({m["role"], m["content"]});
      EXPECT_EQ(chat_template.render(messages, kDate, name.substr(slash) == "/gen=True"),
                expected.get<std::string>())
          << file << " " << name;
      compared++;
    }
  }
  EXPECT_GE(compared, 54);
  RecordProperty("renderings_compared", compared);
}

// Small templates with what Jinja makes of them for one message; null: it refuses them.
TEST(ChatTemplate, AgreesWithJinjaOnSmallTemplates) {
  KVCOMM_NEEDS_SHARED();
  const fs::path file = testing::shared_dir() / "cases/jinja_expectations.json";
  if (!fs::exists(file)) GTEST_SKIP() << file << " is not there";
  const json templates = json::parse(read_file(file))["templates"];
  for (const json& one : templates) {
    const std::string source = one["template"];
    for (size_t i = 0; i < one["messages"].size(); ++i) {
      const std::string message = one["messages"][i];
      const json& wanted = one["rendered"].is_null() ? one["rendered"] : one["rendered"][i];
      if (wanted.is_null()) {
        EXPECT_THROW(render(source, message), Error) << one["name"];
      } else {
        EXPECT_EQ(render(source, message), wanted.get<std::string>()) << one["name"];
      }
    }
  }
  EXPECT_GE(templates.size(), 90);
}

}  // namespace
}  // namespace kvcomm
