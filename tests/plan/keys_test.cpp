// Keys: which values are part of a cell's and which are not.
#include "plan/keys.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/plan/plan_fixture.h"

namespace kvcomm::testing {
namespace {

class KeyTest : public PlanTest {
 protected:
  KeyTest() { before_ = keys(); }

  std::vector<std::string> keys(const std::vector<std::string>& sets = {}) {
    std::vector<std::string> all;
    for (const Cell& cell : plan(sets).cells) all.push_back(cell.key);
    return all;
  }

  // For each method a letter: '=' its key stays with these sets, 'x' it changes.
  std::string changed(const std::vector<std::string>& sets) { return compare(before_, keys(sets)); }
  static std::string compare(const std::vector<std::string>& a, const std::vector<std::string>& b) {
    std::string marks;
    for (size_t i = 0; i < a.size(); ++i) marks += a[i] == b[i] ? '=' : 'x';
    return marks;
  }

  std::vector<std::string> before_;
};

TEST_F(KeyTest, CellsHaveKeysOfTheirOwn) {
  const std::set<std::string> distinct(before_.begin(), before_.end());
  EXPECT_EQ(distinct.size(), 4u);
  EXPECT_EQ(keys(), before_);
}

TEST_F(KeyTest, HowTheWorkIsDoneIsNoPartOfIt) {
  for (const char* set :
       {"run.limit=2", "run.batch=1", "run.prefill_tokens=100", "run.threads=2", "run.timeout_s=5",
        "run.grace_s=1", "run.transport=mpi", "run.placement=spread", "run.store_contexts=true",
        "run.name=other", "dataset.demo.limit=3", "method.kvcomm.limit=1", "run.device=cpu"}) {
    EXPECT_EQ(changed({set}), "====") << set;
  }
}

TEST_F(KeyTest, WhatDecidesAnAnswerIsPartOfIt) {
  EXPECT_EQ(changed({"run.dtype=float32"}), "xxxx");
  EXPECT_EQ(changed({"run.date=2025-01-01"}), "xxxx");
  EXPECT_EQ(changed({"run.max_input_tokens=500"}), "xxxx");
  EXPECT_EQ(changed({"dataset.demo.max_new_tokens=3"}), "xxxx");
  EXPECT_EQ(changed({"method.baseline.model=sender"}), "x===");
  EXPECT_EQ(changed({"run.seed=43"}), "==x=");            // Random's, where it gives none
  EXPECT_EQ(changed({"method.random.seed=42"}), "====");  // the same, in words
  EXPECT_EQ(changed({"method.contiguous.to=2"}), "===x");
  for (const char* set :
       {"alpha=0.5", "mu=0.4", "sigma=3", "calibration_samples=2", "ratio=0.75"}) {
    EXPECT_EQ(changed({std::string("method.kvcomm.") + set}), "=x==") << set;
  }
  EXPECT_EQ(changed({"method.kvcomm.alpha=1.0"}), "====");  // the default
  EXPECT_EQ(changed({"pair.p.mu=0.9"}), "=x==");
}

TEST_F(KeyTest, AFieldOfFidelityIsPartOfItWhereItDecidesAnAnswer) {
  EXPECT_EQ(changed({"run.fidelity=release"}), "=xxx");
  const std::map<std::string, std::string> expected{
      {"layer_count", "=xx="},        {"keep_layer0", "=xxx"},     {"sink_token", "=xxx"},
      {"importance_from", "=x=="},    {"importance_mask", "=x=="}, {"prior", "=x=="},
      {"unselected_prefill", "=xxx"}, {"shifted_start", "===="},   {"generation", "=xxx"},
      {"phase1_tokens", "===="},      {"sender_aware", "===="},    {"recalibration_scored", "===="},
      {"tie_other_head", "===="},     {"clean_up_spaces", "===="}};
  const nlohmann::json release = values_of(Fidelity::release());
  EXPECT_EQ(release.size(), expected.size());
  for (const auto& [key, value] : release.items()) {
    const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    EXPECT_EQ(changed({"fidelity." + key + "=" + text}), expected.at(key)) << key;
  }
  methods_ = R"(
[[method]]
name = "kvcomm_s"
[[method]]
name = "nld"
[[method]]
name = "cipher"
sender_aware = true
)";
  before_ = keys();
  EXPECT_EQ(changed({"fidelity.shifted_start=1"}), "x==");
  EXPECT_EQ(changed({"fidelity.unselected_prefill=first_columns"}), "===");
  EXPECT_EQ(changed({"fidelity.sender_aware=false"}), "=x=");
  EXPECT_EQ(changed({"fidelity.phase1_tokens=128"}), "=xx");
}

TEST_F(KeyTest, CleaningUpSpacesIsPartOfItWhereTheTokenizerIsSetToDoSo) {
  edit(root() / "models/b/tokenizer_config.json", "{", "{\"clean_up_tokenization_spaces\": true, ");
  EXPECT_EQ(changed({}), "====");
  EXPECT_EQ(changed({"fidelity.clean_up_spaces=true"}), "xxxx");
  const std::vector<std::string> release{"run.fidelity=release"};
  const Plan cleaned = plan(release);
  EXPECT_EQ(nlohmann::json::parse(cleaned.cells[0].key_json)["fidelity"]["clean_up_spaces"], true);
  EXPECT_EQ(plan({"run.fidelity=release", "fidelity.clean_up_spaces=false"})
                .cells[0]
                .key_json.find("clean_up"),
            std::string::npos);
}

TEST_F(KeyTest, ResultsNameTheFidelity) {
  EXPECT_EQ(changed({"fidelity.sink_token=false"}), "====");  // the paper's own value
  const Plan mixed = plan({"fidelity.sink_token=true"});
  EXPECT_EQ(mixed.fidelity.name, "paper(sink_token=true)");
  EXPECT_EQ(nlohmann::json::parse(mixed.cells[1].key_json)["fidelity"]["sink_token"], true);
}

TEST_F(KeyTest, ThePenaltyIsPartOfItWhereItIsInForce) {
  const auto with_penalty = [&](const char* fidelity) {
    std::ofstream(root() / "models/b/generation_config.json")
        << R"({"eos_token_id": 2, "repetition_penalty": 1.05})";
    const std::vector<std::string> with = keys({std::string("run.fidelity=") + fidelity});
    std::ofstream(root() / "models/b/generation_config.json") << R"({"eos_token_id": 2})";
    return compare(with, keys({std::string("run.fidelity=") + fidelity}));
  };
  EXPECT_EQ(with_penalty("paper"), "====");
  EXPECT_EQ(with_penalty("release"), "x===");  // the release's wrapper knows no penalty
}

TEST_F(KeyTest, ParametersOfTheOtherMethodsArePartOfIt) {
  methods_ = R"(
[[method]]
name = "kvcomm_s"
[[method]]
name = "ac"
k = 1
j = 2
[[method]]
name = "nld"
[[method]]
name = "cipher"
)";
  before_ = keys();
  EXPECT_EQ(std::set<std::string>(before_.begin(), before_.end()).size(), 4u);
  EXPECT_EQ(changed({"method.kvcomm_s.layer_count=2"}), "x===");
  for (const char* set : {"f=sum", "k=0", "j=1"}) {
    EXPECT_EQ(changed({std::string("method.ac.") + set}), "=x==") << set;
  }
  for (const char* set : {"phase1_tokens=24", "sender_aware=false"}) {
    EXPECT_EQ(changed({std::string("method.nld.") + set}), "==x=") << set;
    EXPECT_EQ(changed({std::string("method.cipher.") + set}), "===x") << set;
  }
  EXPECT_EQ(changed({"method.nld.phase1_tokens=256"}), "====");  // the default
  EXPECT_EQ(changed({"method.cipher.temperature=0.5"}), "===x");
}

TEST_F(KeyTest, TheDeviceIsPartOfIt) {
  const std::vector<std::string> now = before_;
  std::vector<std::string> cuda;
  for (const Cell& cell : make_plan(plan().config, "cuda").cells) cuda.push_back(cell.key);
  EXPECT_EQ(compare(now, cuda), "xxxx");
}

TEST_F(KeyTest, NamesAreNoPartOfIt) {
  edit(root() / "models/a/config.json", "\"model_type\"", "\"model_type\"");  // rewritten, the same
  fs::rename(root() / "models/a", root() / "models/c");
  EXPECT_EQ(changed({"pair.p.sender=c"}), "====");
}

TEST_F(KeyTest, AnyByteOfTheWeightsChangesIt) {
  for (const char* model : {"a", "b"}) {
    const fs::path weights = root() / "models" / model / "model.safetensors";
    const std::string whole = read_file(weights);
    for (size_t place = whole.size() - 1; place > whole.size() / 4; place -= whole.size() / 11) {
      std::string flipped = whole;
      flipped[place] = static_cast<char>(flipped[place] ^ 1);
      std::ofstream(weights, std::ios::binary) << flipped;
      EXPECT_EQ(changed({}), "xxxx") << place;
    }
    std::ofstream(weights, std::ios::binary) << whole;
    EXPECT_EQ(changed({}), "====");
  }
}

TEST_F(KeyTest, WhateverTheConfigurationOfAModelSaysChangesIt) {
  const fs::path file = root() / "models/a/config.json";
  const std::string before = read_file(file);
  const nlohmann::json config = nlohmann::json::parse(before);
  const nlohmann::json changes{{"rope_theta", 20000.0},
                               {"rms_norm_eps", 1e-3},
                               {"rope_scaling", {{"rope_type", "default"}}},
                               {"max_position_embeddings", 1}};
  for (const auto& [key, value] : changes.items()) {
    nlohmann::json edited = config;
    edited[key] = value;
    std::ofstream(file) << edited.dump();
    EXPECT_EQ(changed({}), "xxxx") << key;
  }
  std::ofstream(file) << before;
  EXPECT_EQ(changed({}), "====");
  std::ofstream(root() / "models/b/generation_config.json") << R"({"eos_token_id": [2, 9]})";
  EXPECT_EQ(changed({}), "xxxx");
}

// The receiver b is tied; its file has no head of its own until it is given one.
TEST_F(KeyTest, WhetherAnotherHeadIsDroppedMattersWhereThereIsOne) {
  EXPECT_EQ(changed({"fidelity.tie_other_head=true"}), "====");
  edit(root() / "models/a/config.json", "\"tie_word_embeddings\": false",
       "\"tie_word_embeddings\": true");
  before_ = keys();
  EXPECT_EQ(changed({"fidelity.tie_other_head=true"}), "xxxx");
  EXPECT_EQ(changed({"fidelity.tie_other_head=false"}), "====");
}

TEST_F(KeyTest, TheTokenizerAndTheChatTemplateChangeIt) {
  const fs::path config = root() / "models/b/tokenizer_config.json";
  edit(config, " -- ", " == ");
  EXPECT_EQ(changed({}), "xxxx");
  edit(config, " == ", " -- ");
  EXPECT_EQ(changed({}), "====");
  const fs::path map = root() / "models/b/special_tokens_map.json";
  std::ofstream(map) << R"({"eos_token": "<eos>"})";  // as tokenizer.json has it
  EXPECT_EQ(changed({}), "====");
  std::ofstream(map) << R"({"pad_token": "word"})";  // special: no part of an answer any more
  EXPECT_EQ(changed({}), "xxxx");
  fs::remove(map);
  edit(root() / "models/b/tokenizer.json", "\"normalizer\":{", "\"normalizer\": {");
  EXPECT_EQ(changed({}), "xxxx");
}

TEST_F(KeyTest, TheSendersTokenizerIsNotInUse) {
  edit(root() / "models/a/tokenizer_config.json", " -- ", " == ");
  EXPECT_EQ(changed({}), "====");
}

TEST_F(KeyTest, TheDataChangeIt) {
  write_data("boat");
  EXPECT_EQ(changed({}), "xxxx");
}

TEST_F(KeyTest, TheMetricIsPartOfItAndFurtherOnesAreNot) {
  EXPECT_EQ(changed({"dataset.demo.metric=f1"}), "xxxx");
  EXPECT_EQ(changed({"dataset.demo.metric=includes"}), "====");  // the data set's own
  EXPECT_EQ(changed({"dataset.demo.metric=[\"includes\", \"f1\"]"}), "====");
}

TEST_F(KeyTest, HowDataOfOnesOwnAreReadIsPartOfIt) {
  const nlohmann::json known = nlohmann::json::parse(plan().cells[0].key_json)["dataset"];
  EXPECT_EQ(known.size(), 2u);  // name and fingerprint
  dataset_ = fmt::format(R"(name = "mine"
path = "{}/demo.jsonl"
question = "question"
answers = "answers"
)",
                         root().string());
  before_ = keys();
  for (const char* set : {"context=question", "question=context", "answers=id", "id=id",
                          "shuffle=true", "metric=f1_match", "prompts=demo", "max_new_tokens=3"}) {
    EXPECT_EQ(changed({std::string("dataset.mine.") + set}), "xxxx") << set;
  }
  EXPECT_EQ(changed({"dataset.mine.name=other"}), "xxxx");
  for (const char* set : {"context=[\"context\"]", "shuffle=false", "metric=[\"f1\", \"includes\"]",
                          "limit=2", "prompts=qa"}) {
    EXPECT_EQ(changed({std::string("dataset.mine.") + set}), "====") << set;
  }
  const nlohmann::json key = nlohmann::json::parse(plan().cells[0].key_json)["dataset"];
  const DatasetConfig read = dataset_of_key(key);
  EXPECT_EQ(dataset_key(plan().config.datasets[0], plan().datasets[0], /*senders=*/1), key);
  EXPECT_TRUE(read.is_own());
  EXPECT_EQ(read.context, std::vector<std::string>{"context"});
  nlohmann::json damaged = key;
  damaged.erase("shuffle");
  EXPECT_THROW(dataset_of_key(damaged), nlohmann::json::exception);
}

TEST_F(KeyTest, OnlyThePromptsOfACellChangeIt) {
  const auto with_prompts = [&](const std::string& baseline, const std::string& sender) {
    const fs::path file = root() / "prompts.toml";
    std::ofstream(file) << "[qa]\nbaseline = \"" << baseline << " {question}\"\nsender = \""
                        << sender << " {context}\"\nreceiver = \"{question}\"\n";
    return keys({"paths.prompts=" + file.string()});
  };
  const std::vector<std::string> first = with_prompts("A", "S");
  EXPECT_EQ(compare(first, with_prompts("B", "S")), "x===");
  EXPECT_EQ(compare(first, with_prompts("A", "T")), "=xxx");
}

TEST_F(KeyTest, OnlyThePromptsOfADebateChangeIt) {
  methods_ = R"(
[[method]]
name = "nld"
[[method]]
name = "nld"
sender_aware = false
[[method]]
name = "cipher"
[[method]]
name = "ac"
k = 1
j = 1
)";
  std::map<std::string, std::string> texts{{"sender", "S {context}"},
                                           {"receiver", "{question}"},
                                           {"sender_summary", "Sum up {context}"},
                                           {"refine", "{prompt} {own_answer} {other_answers}"},
                                           {"baseline", "{question}"}};
  const auto keys_with = [&](const std::string& key, const std::string& text) {
    std::map<std::string, std::string> changed = texts;
    changed[key] = text;
    const fs::path file = root() / "prompts.toml";
    std::ofstream out(file);
    out << "[qa]\n";
    for (const auto& [name, value] : changed) out << name << " = \"" << value << "\"\n";
    out.close();
    return keys({"paths.prompts=" + file.string()});
  };
  const std::vector<std::string> first = keys_with("baseline", "{question}");
  const auto marks = [&](const char* key) { return compare(first, keys_with(key, "new")); };
  EXPECT_EQ(marks("sender"), "=x=x");
  EXPECT_EQ(marks("sender_summary"), "x=x=");
  EXPECT_EQ(marks("receiver"), "xxxx");
  EXPECT_EQ(marks("refine"), "xxx=");
  EXPECT_EQ(marks("other_answer"), "xxx=");
  EXPECT_EQ(marks("question_suffix"), "xxxx");
  EXPECT_EQ(marks("answer_prefix"), "xxxx");
  EXPECT_EQ(marks("baseline"), "====");
}

TEST_F(KeyTest, RatioAlphaMuAndSigmaShareACalibration) {
  const auto calibration = [&](const std::vector<std::string>& sets) {
    return plan(sets).cells.at(1).calibration_key;
  };
  const std::string key = calibration({});
  EXPECT_NE(key, "");
  for (const char* set : {"ratio=0.25", "alpha=0.5", "mu=0.1", "sigma=2"}) {
    EXPECT_EQ(calibration({std::string("method.kvcomm.") + set}), key) << set;
  }
  EXPECT_EQ(calibration({"dataset.demo.max_new_tokens=3"}), key);
  EXPECT_NE(calibration({"method.kvcomm.calibration_samples=2"}), key);
  EXPECT_NE(calibration({"run.dtype=float32"}), key);
  for (const size_t other : {0, 2, 3}) EXPECT_EQ(plan().cells.at(other).calibration_key, "");
}

}  // namespace
}  // namespace kvcomm::testing
