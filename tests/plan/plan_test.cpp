// The plan of a sweep: its cells, and what is refused before any model runs.
#include "plan/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "tests/plan/plan_fixture.h"

namespace kvcomm::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// ---- methods that stand for many cells
using Labels = std::vector<std::string>;

TEST_F(PlanTest, ALayerCurveIsACellForEachCountAsIfWrittenByHand) {
  const Plan curve = plan_of("\"kvcomm\"\nalpha = 0.8\nlayer_counts = \"all\"\nlimit = 2");
  EXPECT_EQ(labels(curve),
            (Labels{"kvcomm(layer_count=1, alpha=0.8)", "kvcomm(layer_count=2, alpha=0.8)",
                    "kvcomm(layer_count=3, alpha=0.8)", "kvcomm(layer_count=4, alpha=0.8)"}));
  const Plan by_hand = plan_of("\"kvcomm\"\nalpha = 0.8\nlayer_count = [1, 2, 3, 4]\nlimit = 2");
  ASSERT_EQ(curve.cells.size(), 4u);
  ASSERT_EQ(by_hand.cells.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    const Cell &cell = curve.cells[i], &other = by_hand.cells[i];
    EXPECT_EQ(cell.id, i);
    EXPECT_EQ(cell.method, 0u);  // all of one entry
    EXPECT_EQ(cell.samples, 2);
    EXPECT_EQ(cell.key_json, other.key_json);
    EXPECT_EQ(cell.calibration_key, curve.cells[0].calibration_key);
  }
  EXPECT_EQ(labels(plan_of("\"kvcomm_s\"\nlayer_counts = \"all\"")).back(),
            "kvcomm_s(layer_count=4)");
}

TEST_F(PlanTest, ASweepOfWindowsIsACellForEachPlace) {
  EXPECT_EQ(
      labels(plan_of("\"contiguous\"\nsweep_width = [3, 4]")),
      (Labels{"contiguous(from=0, to=2)", "contiguous(from=1, to=3)", "contiguous(from=0, to=3)"}));
  const Plan windows = plan_of("\"contiguous\"\nsweep_width = 3");
  EXPECT_EQ(windows.cells[1].key_json,
            plan_of("\"contiguous\"\nfrom = 1\nto = 3").cells[0].key_json);
  EXPECT_THAT(refusal_of("\"contiguous\"\nsweep_width = 5"),
              AllOf(HasSubstr("sweep.toml:"), HasSubstr("contiguous(sweep_width=5) for pair 'p'"),
                    HasSubstr("sweep_width = 5 is wider than the model, which has 4 layers")));
}

TEST_F(PlanTest, ACellThatIsWrittenByHandAsWellIsThereOnce) {
  const Plan both = plan_of(
      "\"kvcomm\"\nlayer_counts = \"all\"\n[[method]]\nname = \"kvcomm\"\nlayer_count = 3\n"
      "limit = 1");
  EXPECT_EQ(labels(both), (Labels{"kvcomm(layer_count=1)", "kvcomm(layer_count=2)",
                                  "kvcomm(layer_count=4)", "kvcomm(layer_count=3)"}));
  EXPECT_EQ(both.cells[3].samples, 1);  // with what the entry by hand says
}

TEST_F(PlanTest, KvCommAndKvCommSShareACalibration) {
  const Plan both = plan_of(
      "\"kvcomm\"\n[[method]]\nname = \"kvcomm_s\"\n[[method]]\nname = \"kvcomm_s\"\n"
      "layers = [0]");
  EXPECT_NE(both.cells[0].calibration_key, "");
  EXPECT_EQ(both.cells[0].calibration_key, both.cells[1].calibration_key);
  EXPECT_NE(both.cells[0].key, both.cells[1].key);
  EXPECT_EQ(both.cells[2].calibration_key, "");
}

TEST_F(PlanTest, LimitsCountTheSamples) {
  EXPECT_EQ(plan().cells.at(0).samples, 4);
  EXPECT_EQ(plan({"run.limit=3"}).cells.at(0).samples, 3);
  EXPECT_EQ(plan({"run.limit=9"}).cells.at(0).samples, 4);
  EXPECT_EQ(plan({"run.limit=3", "method.random.limit=1"}).cells.at(2).samples, 1);
}

TEST_F(PlanTest, ModelsOfOtherShapesAreAPairForSomeMethods) {
  const auto with = [&](const char* key, int value) {
    fs::remove_all(root() / "models/other");
    make_tiny_model(root() / "models/other");
    const fs::path config = root() / "models/other/config.json";
    nlohmann::json json = nlohmann::json::parse(read_file(config));
    json[key] = value;
    std::ofstream(config) << json.dump();
    write_zero_weights(root() / "models/other");
  };
  const std::vector<std::string> other{"pair.p.sender=other"};
  for (const auto& [key, value, words] :
       {std::tuple{"num_hidden_layers", 5, "the sender has 5 layers, the receiver 4"},
        std::tuple{"num_key_value_heads", 1, "the sender has 1 KV heads, the receiver 2"},
        std::tuple{"head_dim", 16, "the sender has 16 entries a head, the receiver 8"}}) {
    with(key, value);
    for (const char* method : {"kvcomm\"", "kvcomm_s\"", "random\"", "cipher\"",
                               "ac\"\nk = 1\nj = 1", "contiguous\"\nfrom = 0\nto = 1"}) {
      EXPECT_THAT(refusal_of(fmt::format("\"{}", method), other),
                  AllOf(HasSubstr("sweep.toml:"), HasSubstr("for pair 'p': "), HasSubstr(words),
                        HasSubstr("leave the method or the pair out")));
    }
    for (const char* method : {"baseline", "skyline", "nld"}) {
      EXPECT_NE(plan_of(fmt::format("\"{}\"", method), other).cells.at(0).key, "") << method;
    }
  }
  with("num_hidden_layers", 5);  // one that does not fit refuses the sweep
  methods_ = "[[method]]\nname = \"baseline\"\n[[method]]\nname = \"kvcomm\"\n";
  EXPECT_THAT(refusal(Exit::kUsage, other), HasSubstr("kvcomm for pair 'p': the sender has 5"));
}

TEST_F(PlanTest, AnEmbeddingWithoutARowForEveryIdIsRefused) {
  absent_ = Absent::kNamed;  // the weights' own shapes are another matter
  fs::remove(root() / "models/a/model.safetensors");
  edit(root() / "models/a/config.json", "\"vocab_size\": 512", "\"vocab_size\": 300");
  EXPECT_THAT(refusal(Exit::kUsage),
              AllOf(HasSubstr("kvcomm(ratio=0.5) for pair 'p'"), HasSubstr("427 ids"),
                    HasSubstr("the sender's embedding"), HasSubstr("300 rows")));
  EXPECT_EQ(plan_of("\"baseline\"").cells.size(), 1u);  // asks the receiver alone
  EXPECT_THAT(refusal_of("\"baseline\"\nmodel = \"sender\""), HasSubstr("300 rows"));
}

TEST_F(PlanTest, ATokenThatIsAddedBeyondTheEmbeddingIsRefused) {
  const fs::path tokenizer = root() / "models/b/tokenizer.json";
  edit(tokenizer, "\"id\":426,", "\"id\":512,");
  EXPECT_THAT(refusal(Exit::kUsage),
              AllOf(HasSubstr("513 ids (the last is that of 'theatre')"), HasSubstr("512 rows")));
  edit(tokenizer, "\"id\":512,", "\"id\":511,");
  std::ofstream(root() / "models/b/special_tokens_map.json") << R"({"pad_token": "<pad>"})";
  // The class of such a folder, Llama's, has an <unk> that comes first.
  EXPECT_THAT(refusal(Exit::kEnvironment),
              AllOf(HasSubstr("'" + (root() / "models/b").string() + "' names"),
                    HasSubstr("'<pad>'"), HasSubstr("the id 513"), HasSubstr("512 rows")));
}

// ---- ids that two tokenizers do not share

// Exchanges the ids of two ordinary tokens in the sender's own tokenizer.json.
void exchange_ids(const fs::path& folder) {
  auto tokenizer = nlohmann::json::parse(read_file(folder / "tokenizer.json"));
  auto& vocab = tokenizer["model"]["vocab"];
  std::swap(vocab["th"], vocab["\u0120the"]);
  std::ofstream(folder / "tokenizer.json") << tokenizer.dump();
}

TEST_F(PlanTest, ASenderThatReadsOtherTokensIsAskedNothing) {
  exchange_ids(root() / "models/a");
  const auto names_the_token =
      AllOf(HasSubstr("for pair 'p': "),
            HasSubstr("'th' has the id 259 in the sender's tokenizer and the id 257 in the "
                      "receiver's"));
  EXPECT_THAT(refusal_of("\"nld\""), names_the_token);
  EXPECT_THAT(refusal_of("\"skyline\"\nmodel = \"sender\""), names_the_token);
  for (const char* method : {"\"skyline\"", "\"kvcomm\"", "\"cipher\""}) {
    EXPECT_EQ(plan_of(method).cells.size(), 1u) << method;
  }
}

TEST_F(PlanTest, OnlyASendersOwnTokenizerShowsThatItReadsTheSame) {
  EXPECT_EQ(plan_of("\"nld\"").cells.size(), 1u);
  std::ofstream(root() / "models/a/special_tokens_map.json") << R"({"pad_token": "<pad>"})";
  EXPECT_EQ(plan_of("\"nld\"").cells.size(), 1u);  // an added token
  fs::remove(root() / "models/a/tokenizer.json");
  EXPECT_THAT(refusal_of("\"nld\""),
              HasSubstr("'" + (root() / "models/a").string() + "' has no tokenizer.json"));
  EXPECT_EQ(plan_of("\"baseline\"\nmodel = \"sender\"").cells.size(), 1u);
  std::ofstream(root() / "models/a/tokenizer.json") << R"({"model": {"type": "Unigram"}})";
  EXPECT_THAT(refusal_of("\"nld\""), AllOf(HasSubstr("own tokenizer cannot be read"),
                                           HasSubstr("models/a/tokenizer.json")));
}

TEST_F(PlanTest, WeightsThatAreNotWholeAreRefused) {
  const fs::path weights = root() / "models/a/model.safetensors";
  fs::resize_file(weights, fs::file_size(weights) - 100);
  EXPECT_THAT(refusal(Exit::kEnvironment),
              AllOf(HasSubstr(weights.string()), HasSubstr("cut off")));
  fs::resize_file(weights, 40);
  EXPECT_THAT(refusal(Exit::kEnvironment),
              AllOf(HasSubstr(weights.string()), HasSubstr("cut off")));
  fs::remove(weights);
  EXPECT_THAT(refusal(Exit::kEnvironment),
              HasSubstr("No weights in '" + (root() / "models/a").string()));
}

TEST_F(PlanTest, WeightsThatAreNotTheConfigsAreRefused) {
  edit(root() / "models/a/config.json", "\"intermediate_size\": 48", "\"intermediate_size\": 50");
  EXPECT_THAT(refusal(Exit::kEnvironment), AllOf(HasSubstr("mlp.up_proj.weight"), HasSubstr("50")));
}

TEST_F(PlanTest, UnknownArchitecturesAreRefused) {
  edit(root() / "models/b/config.json", "LlamaForCausalLM", "OtherForCausalLM");
  EXPECT_THAT(refusal(Exit::kEnvironment), HasSubstr("OtherForCausalLM"));
}

TEST_F(PlanTest, LayersOutsideTheModelAreRefused) {
  EXPECT_THAT(refusal(Exit::kUsage, {"method.contiguous.to=4"}),
              AllOf(HasSubstr("4"), HasSubstr("3")));
}

TEST_F(PlanTest, LayersOfActivationsMustBeInTheModel) {
  EXPECT_EQ(plan_of("\"ac\"\nk = 3\nj = 0").cells.size(), 1u);
  EXPECT_THAT(refusal_of("\"ac\""),
              AllOf(HasSubstr("sweep.toml:"), HasSubstr("ac for pair 'p': k = 26, the default, "),
                    HasSubstr("outside the sender, whose 4 layers are 0 to 3: set k.")));
  EXPECT_THAT(refusal_of("\"ac\"\nk = 2\nj = 4"),
              AllOf(HasSubstr("ac(k=2, j=4)"), HasSubstr("j = 4 lies outside the receiver")));
}

TEST_F(PlanTest, MoreLayersThanTheModelHasAreRefused) {
  EXPECT_EQ(plan_of("\"kvcomm\"\nlayer_count = 4").cells.size(), 1u);
  EXPECT_THAT(refusal_of("\"kvcomm\"\nlayer_count = [4, 5]"),
              AllOf(HasSubstr("sweep.toml:"), HasSubstr("kvcomm(layer_count=5)"),
                    HasSubstr("layer_count = 5"), HasSubstr("4 layers")));
}

TEST_F(PlanTest, ARatioThatLeavesNothingToSendIsRefused) {
  const std::vector<std::string> bare{"run.fidelity=release", "fidelity.keep_layer0=false",
                                      "fidelity.sink_token=false"};
  for (const char* name : {"kvcomm", "kvcomm_s", "random"}) {
    const std::string method = fmt::format("\"{}\"\nratio = 0.2", name);
    EXPECT_THAT(refusal_of(method, bare),
                AllOf(HasSubstr("ratio = 0.2 of 4 layers, rounded down, leaves none to send"),
                      HasSubstr("0.25 or more")))
        << name;
    EXPECT_EQ(plan_of(method).cells.size(), 1u);                            // rounded up: one
    EXPECT_EQ(plan_of(method, {"run.fidelity=release"}).cells.size(), 1u);  // layer 0
    EXPECT_EQ(plan_of(method, {bare[0], bare[1]}).cells.size(), 1u);        // the first tokens
    EXPECT_EQ(plan_of(method, {bare[0], bare[2]}).cells.size(), 1u);
  }
}

TEST_F(PlanTest, VectorsAreHandedOverBetweenModelsOfTheSameWidthOnly) {
  make_tiny_model(root() / "models/wide");
  edit(root() / "models/wide/config.json", "\"hidden_size\": 32", "\"hidden_size\": 40");
  write_zero_weights(root() / "models/wide");
  const std::vector<std::string> wide{"pair.p.sender=wide"};
  for (const char* method : {"\"ac\"\nk = 1\nj = 1", "\"cipher\""}) {
    EXPECT_THAT(refusal_of(method, wide),
                AllOf(HasSubstr("sweep.toml:"), HasSubstr("for pair 'p': "),
                      HasSubstr("the sender's hidden states have 40 entries, the receiver's 32")));
    EXPECT_EQ(plan_of(method).cells.size(), 1u);
  }
  for (const char* method : {"\"kvcomm\"", "\"nld\""}) {
    EXPECT_EQ(plan_of(method, wide).cells.size(), 1u);
  }
}

TEST_F(PlanTest, CipherNeedsAnEosTokenOfTheTokenizer) {
  const fs::path config = root() / "models/b/tokenizer_config.json";
  const std::string text = read_file(config);
  nlohmann::json changed = nlohmann::json::parse(text);
  changed["eos_token"] = "<no such>";
  std::ofstream(config) << changed.dump();
  EXPECT_THAT(refusal_of("\"cipher\""),
              AllOf(HasSubstr("cipher for pair 'p'"), HasSubstr("tokenizer_config.json"),
                    HasSubstr("'<no such>', which it does not have")));
  changed.erase("eos_token");
  std::ofstream(config) << changed.dump();
  EXPECT_THAT(refusal_of("\"cipher\""), HasSubstr("names none: name one"));
  EXPECT_EQ(plan_of("\"nld\"").cells.size(), 1u);
  std::ofstream(config) << text;
  EXPECT_EQ(plan_of("\"cipher\"").cells.size(), 1u);
}

TEST_F(PlanTest, PromptsThatAMethodNeedsMustBeThere) {
  const std::map<std::string, std::vector<std::string>> needed{
      {"baseline", {"baseline"}},
      {"skyline", {"skyline"}},
      {"kvcomm", {"sender", "receiver"}},
      {"kvcomm_s", {"sender", "receiver"}},
      {"random", {"sender", "receiver"}},
      {"ac", {"sender", "receiver"}},
      {"nld", {"sender_summary", "receiver", "refine"}},
      {"cipher", {"sender_summary", "receiver", "refine"}}};
  const fs::path file = root() / "prompts.toml";
  for (const auto& [name, keys] : needed) {
    const std::string method = "\"" + name + "\"" + (name == "ac" ? "\nk = 1\nj = 1" : "");
    const auto write_all_but = [&](const std::string& missing) {
      std::ofstream out(file);
      out << "[qa]\n";
      for (const std::string& key : keys) {
        if (key != missing) out << key << " = \"{question}\"\n";
      }
    };
    const std::vector<std::string> sets{"paths.prompts=" + file.string()};
    write_all_but("");
    EXPECT_EQ(plan_of(method, sets).cells.size(), 1u) << name;
    for (const std::string& key : keys) {
      write_all_but(key);
      EXPECT_THAT(refusal_of(method, sets),
                  AllOf(HasSubstr("no prompt '" + key + "'"), HasSubstr("data set 'demo'"),
                        HasSubstr("prompts.toml"), HasSubstr("[demo] or [qa]")));
    }
  }
  std::ofstream(file) << "[qa]\nsender = \"\"\nreceiver = \"\"\nrefine = \"\"\n";
  EXPECT_EQ(
      plan_of("\"nld\"\nsender_aware = false", {"paths.prompts=" + file.string()}).cells.size(),
      1u);
}

TEST_F(PlanTest, SendersAreAsManyInEachPairAndTheirContextsCanBeDealt) {
  {
    std::ofstream out(root() / "demo.jsonl");
    for (int i = 0; i < 4; ++i) {
      out << R"({"id": "s)" << i
          << R"(", "context": "One. Two.", "question": "What?", "answers": ["ship"]})"
          << "\n";
    }
  }
  const std::vector<std::string> two{R"(pair.p.sender=["a", "b"])"};
  const Plan planned = plan_of("\"kvcomm\"", two);
  EXPECT_EQ(planned.pairs.at(0).senders.size(), 2u);
  EXPECT_EQ(planned.datasets.at(0).samples.at(0).contexts,
            (std::vector<std::string>{"One.", "Two."}));
  EXPECT_EQ(nlohmann::json::parse(planned.cells.at(0).key_json).at("sender").size(), 2u);
  for (const char* method : {"\"ac\"\nk = 1\nj = 1", "\"baseline\"\nmodel = \"sender\""}) {
    EXPECT_THAT(refusal_of(method, two), HasSubstr("the pair has 2"));
  }
  for (const char* method : {"\"nld\"", "\"cipher\"", "\"skyline\"", "\"random\""}) {
    EXPECT_EQ(plan_of(method, two).cells.size(), 1u) << method;
  }
  methods_ += "[[pair]]\nname = \"q\"\nsender = \"a\"\nreceiver = \"b\"\n";
  EXPECT_THAT(refusal(Exit::kUsage, two),
              AllOf(HasSubstr("Pair 'p' has 2 senders, pair 'q' has 1"), HasSubstr("--pair")));
  EXPECT_EQ(senders_of(plan().config), 1u);
}

TEST_F(PlanTest, OnlineCalibrationLeavesNoRoomForLayersByHand) {
  for (const char* other :
       {"layers = [1]", "calibration_samples = 2", "calibration = \"held_out\""}) {
    EXPECT_THAT(refusal_of(std::string("\"kvcomm\"\nrecalibrate_every = 2\n") + other),
                HasSubstr("recalibrate_every chooses layers anew"));
  }
  const Plan planned = plan_of("\"kvcomm\"\nrecalibrate_every = 3");
  EXPECT_EQ(planned.cells.at(0).calibration_key, "");
  EXPECT_EQ(planned.cells.at(0).calibrating(), (std::vector<uint32_t>{0, 3}));
  EXPECT_EQ(plan_of("\"kvcomm\"\nrecalibrate_every = 0").cells.at(0).recalibrate_every, 0);
  EXPECT_THAT(refusal_of("\"kvcomm\"\nrecalibrate_every = 4294967296"),
              HasSubstr("an integer from 0 to 1000000 is needed"));
}

TEST_F(PlanTest, ARecalibrationsAnswerIsNotPartOfAControlsScore) {
  const auto scored = [&](const std::string& more) {
    const Cell cell =
        plan_of("\"kvcomm\"\nrecalibrate_every = 2" + more, {"run.fidelity=release"}).cells.at(0);
    return profile_of(cell.spec, Fidelity::release()).scores_recalibrations;
  };
  EXPECT_TRUE(scored(""));
  for (const char* control : {"deranged", "zero", "noise"}) {
    EXPECT_FALSE(scored(fmt::format("\ncontrol = \"{}\"", control))) << control;
  }
}

TEST_F(PlanTest, ControlsBelongToMethodsThatSend) {
  for (const char* method : {"baseline", "skyline"}) {
    EXPECT_THAT(refusal_of(fmt::format("\"{}\"\ncontrol = \"zero\"", method)),
                HasSubstr("it sends nothing"));
  }
  EXPECT_THAT(refusal_of("\"nld\"\ncontrol = \"zero\""), HasSubstr("'deranged' is needed"));
  EXPECT_THAT(refusal_of("\"kvcomm\"\ncontrol_seed = 3"), HasSubstr("leave it out"));
  EXPECT_NE(plan_of("\"kvcomm\"\ncontrol = \"zero\"").cells.at(0).key,
            plan_of("\"kvcomm\"").cells.at(0).key);
}

TEST_F(PlanTest, NoMoreSamplesCalibrateThanThereAre) {
  EXPECT_EQ(plan_of("\"kvcomm\"\ncalibration_samples = 9").cells.at(0).calibrating(),
            (std::vector<uint32_t>{0, 1, 2, 3}));
}

TEST_F(PlanTest, HeldOutSamplesAreSetAsideWhateverTheLimit) {
  const std::string held_out = "\"kvcomm\"\ncalibration = \"held_out\"\ncalibration_samples = ";
  const Cell cell = plan_of(held_out + "3").cells.at(0);
  EXPECT_EQ(cell.samples, 1);
  EXPECT_EQ(cell.calibrating(), (std::vector<uint32_t>{1, 2, 3}));
  const Cell limited = plan_of(held_out + "1", {"run.limit=2"}).cells.at(0);
  EXPECT_EQ(limited.samples, 2);
  EXPECT_EQ(limited.calibrating(), std::vector<uint32_t>{3});
  EXPECT_EQ(limited.calibration_key, plan_of(held_out + "1").cells.at(0).calibration_key);
  EXPECT_NE(limited.calibration_key, plan_of("\"kvcomm\"").cells.at(0).calibration_key);
  EXPECT_THAT(refusal_of(held_out + "4"), HasSubstr("'demo' has 4"));
}

TEST_F(PlanTest, AThoughtsEndMustBeTheTokenizersOwn) {
  EXPECT_EQ(plan_of("\"baseline\"", {"pair.p.think_end=<eos>"}).cells.size(), 1u);
  EXPECT_THAT(refusal_of("\"baseline\"", {"pair.p.think_end=<eos>", "pair.p.receiver_thinks=true"}),
              HasSubstr("think_end; leave one out"));
}

TEST_F(PlanTest, FoldersMayBeNamedDirectly) {
  EXPECT_EQ(
      plan({"pair.p.sender=" + (root() / "models/b").string()}).pairs.at(0).senders.at(0).folder,
      root() / "models/b");
  EXPECT_THAT(refusal(Exit::kEnvironment, {"pair.p.sender=nobody"}),
              AllOf(HasSubstr((root() / "models/nobody").string()), HasSubstr("paths.models")));
}

}  // namespace
}  // namespace kvcomm::testing
