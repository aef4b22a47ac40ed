// Model folders whose files say more than tokenizer.json: against what transformers' AutoTokenizer
// makes of them (make_folders.py), and what is refused.
#include "text/model_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "tests/support/paths.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace kvcomm {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

fs::path fixture() { return testing::source_dir() / "tests/text/fixture"; }

json base_tokenizer() { return json::parse(read_file(fixture() / "tokenizer.json")); }

// A model's folder: the fixture's tokenizer.json, patched (null: vocab.json and merges.txt in its
// place), and files by name, texts or JSON.
class Folder {
 public:
  explicit Folder(const json& files, const json& patch = json::object()) {
    put("config.json", R"({"model_type": "llama"})");
    json tokenizer = base_tokenizer();
    if (patch.is_null()) {
      std::string merges = "#version: 0.2\n";
      for (const json& pair : tokenizer["model"]["merges"]) {
        merges += pair[0].get<std::string>() + " " + pair[1].get<std::string>() + "\n";
      }
      put("vocab.json", tokenizer["model"]["vocab"].dump());
      put("merges.txt", merges);
    } else {
      tokenizer.merge_patch(patch);
      put("tokenizer.json", tokenizer.dump());
    }
    for (const auto& [name, content] : files.items()) {
      put(name, content.is_string() ? content.get<std::string>() : content.dump());
    }
  }

  const fs::path& path() const { return folder_.path(); }
  Tokenizer tokenizer() const { return Tokenizer::load(path()); }
  ChatTemplate chat() const { return ChatTemplate::load(path()); }
  void put(const fs::path& name, const std::string& content) const {
    fs::create_directories((path() / name).parent_path());
    write_file_atomic(path() / name, content);
  }

 private:
  testing::TemporaryFolder folder_;
};

const json kGeneric = {{"tokenizer_class", "PreTrainedTokenizerFast"}};

json with(json config, const json& more) {
  config.merge_patch(more);
  return {{"tokenizer_config.json", config}};
}

json token(const std::string& content) {
  return {{"content", content}, {"single_word", false}, {"lstrip", false},
          {"rstrip", false},    {"normalized", false},  {"special", true}};
}

template <typename Action>
std::string refusal(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.exit(), Exit::kEnvironment);
    return error.what();
  }
  return "loaded";
}

TEST(ModelFolder, AgreesWithAutoTokenizer) {
  size_t compared = 0;
  for (const json& made : json::parse(read_file(fixture() / "folders.json"))) {
    SCOPED_TRACE(made["name"].get<std::string>());
    const Folder folder(made["files"], made["patch"]);
    const Tokenizer tokenizer = folder.tokenizer();
    for (const json& expected : made["expected"]) {
      SCOPED_TRACE("text: " + expected["text"].dump());
      const std::vector<int64_t> ids = expected["ids"];
      EXPECT_EQ(tokenizer.encode(expected["text"].get<std::string>(), false), ids);
      const std::string decoded = tokenizer.decode(ids);
      EXPECT_EQ(decoded, expected["decoded"].get<std::string>());
      EXPECT_EQ(tokenizer.decode(ids, /*skip_special_tokens=*/false),
                expected["whole"].get<std::string>());
      EXPECT_EQ(tokenizer.cleans_up_spaces() ? clean_up_spaces(decoded) : decoded,
                expected["cleaned"].get<std::string>());
      compared++;
    }
    if (made["rendered"].is_null()) {
      EXPECT_NE(refusal([&] { folder.chat(); }), "loaded");
    } else {
      EXPECT_EQ(folder.chat().render("Hi", "2024-07-26"), made["rendered"].get<std::string>());
    }
  }
  EXPECT_GT(compared, 250u);
}

// What was computed once stays known as long as nothing is added.
TEST(ModelFolder, TheHashIsTokenizerJsonsUnlessSomethingIsAdded) {
  const auto hash = [](const json& files) { return Folder(files).tokenizer().hash(); };
  const std::string alone = hash128_hex(base_tokenizer().dump());
  EXPECT_EQ(hash(json::object()), alone);
  const json named = {{"bos_token", "<bos>"}, {"eos_token", token("<eos>")}};
  EXPECT_EQ(hash(with(kGeneric, named)), alone);
  json listed = named;
  listed["added_tokens_decoder"] = {{"0", token("<bos>")}, {"1", token("<eos>")}};
  listed["clean_up_tokenization_spaces"] = true;
  EXPECT_EQ(hash(with(kGeneric, listed)), alone);
  const std::string special = hash(with(kGeneric, {{"eos_token", "word"}}));
  EXPECT_NE(special, alone);
  EXPECT_NE(special, hash(with(kGeneric, {{"eos_token", "thea"}})));
  json mapped = with(kGeneric, json::object());
  mapped["special_tokens_map.json"] = {{"eos_token", "word"}};
  EXPECT_EQ(special, hash(mapped));
}

TEST(ModelFolder, KnowsWhichTokensNoFileLists) {
  const json named = {{"eos_token", "<end>"},
                      {"pad_token", "word"},
                      {"added_tokens_decoder", {{"427", token("<new>")}}}};
  const Tokenizer tokenizer = Folder(with(kGeneric, named)).tokenizer();
  EXPECT_EQ(tokenizer.id_of("<end>"), 428);
  EXPECT_FALSE(tokenizer.lists(428));
  for (const char* listed : {"<new>", "word", "<bos>", "th"}) {
    EXPECT_TRUE(tokenizer.lists(tokenizer.id_of(listed).value())) << listed;
  }
}

TEST(ModelFolder, TellsTheFirstTokenOfAnotherId) {
  json swapped = base_tokenizer();
  std::swap(swapped["model"]["vocab"]["th"], swapped["model"]["vocab"]["\u0120the"]);
  const Tokenizer a = Folder(json::object()).tokenizer();
  const Tokenizer b = Folder(json::object(), {{"model", swapped["model"]}}).tokenizer();
  const Tokenizer more = Folder(with(kGeneric, {{"pad_token", "<pad>"}})).tokenizer();
  using Sort = Tokenizer::Sort;
  const auto ordinary = a.first_difference(b, Sort::kOrdinary);
  ASSERT_TRUE(ordinary.has_value());
  EXPECT_EQ(ordinary->token, "th");
  EXPECT_EQ(ordinary->here, 257);
  EXPECT_EQ(ordinary->there, 259);
  EXPECT_FALSE(a.first_difference(b, Sort::kAdded).has_value());
  EXPECT_FALSE(a.first_difference(more, Sort::kOrdinary).has_value());
  for (const auto& added :
       {a.first_difference(more, Sort::kAdded), more.first_difference(a, Sort::kAdded)}) {
    ASSERT_TRUE(added.has_value());
    EXPECT_EQ(added->token, "<pad>");
  }
}

TEST(ModelFolder, FilesThatContradictEachOtherAreRefusedWithBothValues) {
  const auto listed = [](const std::string& id, const std::string& content) {
    const Folder folder(with(kGeneric, {{"added_tokens_decoder", {{id, token(content)}}}}));
    const std::string sentence = refusal([&] { folder.tokenizer(); });
    EXPECT_THAT(sentence, AllOf(HasSubstr((folder.path() / "tokenizer_config.json").string()),
                                HasSubstr((folder.path() / "tokenizer.json").string())));
    return sentence;
  };
  EXPECT_THAT(listed("7", "<eos>"),
              AllOf(HasSubstr("the token '<eos>' the id 7"), HasSubstr("it is 1 (7 is '&')")));
  EXPECT_THAT(listed("7", "<new>"), AllOf(HasSubstr("'<new>' the id 7"), HasSubstr("it is 427, "),
                                          HasSubstr("(7 is '&')")));
  EXPECT_THAT(listed("430", "<new>"), AllOf(HasSubstr("the id 430"), HasSubstr("it is 427, ")));

  json files = with(kGeneric, json::object());
  files["added_tokens.json"] = {{"word", 9}};
  const Folder legacy(files);
  EXPECT_THAT(refusal([&] { legacy.tokenizer(); }),
              AllOf(HasSubstr("added_tokens.json' gives the token 'word' the id 9"),
                    HasSubstr("it is 422 ")));
}

TEST(ModelFolder, FilesThatCannotBeReadAreNamed) {
  const auto complaint = [](const json& files, const json& patch = json::object()) {
    const Folder folder(files, patch);
    return refusal([&] { folder.tokenizer(); });
  };
  EXPECT_THAT(complaint({{"tokenizer_config.json", "{"}}),
              AllOf(HasSubstr("tokenizer_config.json"), HasSubstr("no valid JSON")));
  EXPECT_THAT(complaint({{"special_tokens_map.json", "[]"}}),
              AllOf(HasSubstr("special_tokens_map.json"), HasSubstr("no JSON object")));
  EXPECT_THAT(complaint({{"added_tokens.json", {{"<x>", "seven"}}}}),
              HasSubstr("added_tokens.json"));
  EXPECT_THAT(complaint(with(kGeneric, {{"eos_token", 7}})), HasSubstr("tokenizer_config.json"));
  EXPECT_THAT(complaint(with(kGeneric, {{"added_tokens_decoder", {{"x", token("<x>")}}}})),
              HasSubstr("tokenizer_config.json"));
  EXPECT_THAT(complaint(with(kGeneric, {{"split_special_tokens", true}})),
              HasSubstr("split_special_tokens"));
  EXPECT_THAT(complaint(with(kGeneric,
                             {{"fast_tokenizer_files", {"tokenizer.json", "tokenizer.4.0.json"}}})),
              HasSubstr("\"tokenizer.4.0.json\" in fast_tokenizer_files"));
  EXPECT_THAT(
      complaint(json::object(), nullptr),
      AllOf(HasSubstr("vocab.json"), HasSubstr("'LlamaTokenizer'"), HasSubstr("save_pretrained")));
}

TEST(ModelFolder, TellsWhereATemplateIsMissing) {
  const auto complaint = [](const json& files) {
    const Folder folder(files);
    return refusal([&] { folder.chat(); });
  };
  EXPECT_THAT(complaint({{"chat_template.json", "{}"}}),
              HasSubstr("chat_template.json is for processors"));
  EXPECT_THAT(complaint({{"additional_chat_templates/rag.jinja", "x"}}),
              HasSubstr("none is its default.jinja"));
  EXPECT_THAT(complaint({{"chat_template.jinja", "{% if %}"}}),
              HasSubstr("chat_template.jinja' cannot be followed: "));
  EXPECT_THAT(complaint(with(kGeneric, {{"additional_special_tokens", {"<x>"}},
                                        {"chat_template", "{{ additional_special_tokens }}"}})),
              HasSubstr("asks for additional_special_tokens"));
  EXPECT_FALSE(ChatTemplate::lies_in(Folder(with(kGeneric, json::object())).path()));
  const json broken = {{"chat_template.jinja", "{% if %}"}};
  EXPECT_TRUE(ChatTemplate::lies_in(Folder(broken).path()));
}

// Tokens that the template has no word for do not change its hash.
TEST(ModelFolder, ATemplatesHashHoldsTheTokensThatItMentions) {
  const auto hash = [](const std::string& source, const json& more) {
    json config = kGeneric;
    config["chat_template"] = source;
    return Folder(with(config, more)).chat().hash();
  };
  const json both = {{"bos_token", "<bos>"}, {"eos_token", "<eos>"}};
  json padded = both;
  padded["pad_token"] = "word";
  EXPECT_EQ(hash("a", both), ChatTemplate("a", "<bos>", "<eos>").hash());
  EXPECT_EQ(hash("a", padded), hash("a", both));
  EXPECT_NE(hash("{{ pad_token }}", padded), hash("{{ pad_token }}", both));
}

TEST(CleanUpSpaces, AsTransformersDoes) {
  EXPECT_EQ(clean_up_spaces("x != y"), "x!= y");
  EXPECT_EQ(clean_up_spaces("a  . b ,c ? it 's , do n't ' x ' 'm"), "a . b,c? it's, don't'x''m");
  EXPECT_EQ(clean_up_spaces(" ' ' "), "'' ");
}

}  // namespace
}  // namespace kvcomm
