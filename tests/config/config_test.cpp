// What a configuration means: defaults, labels, arrays, precedence, --set, printing.
#include "tests/config/config_fixture.h"

namespace kvcomm::testing {
namespace {

namespace fs = std::filesystem;
std::string method(const std::string& lines) { return "[[method]]\n" + lines + "\n"; }
using Labels = std::vector<std::string>;

TEST_F(ConfigTest, EveryKeyOfRunAndPathsHasItsDefault) {
  const Config config = load(kSmall);
  EXPECT_EQ(config.run.name, "sweep");
  EXPECT_EQ(config.run.output, "results/sweep");
  EXPECT_EQ(to_text(config.run.fidelity), "paper");
  EXPECT_EQ(to_text(config.run.dtype), "bfloat16");
  EXPECT_EQ(to_text(config.run.device), "auto");
  EXPECT_EQ(to_text(config.run.transport), "auto");
  EXPECT_EQ(config.run.limit, 0);
  EXPECT_EQ(config.run.batch, 0);
  EXPECT_EQ(config.run.prefill_tokens, 4096);
  EXPECT_EQ(config.run.seed, 42);
  EXPECT_EQ(config.run.max_input_tokens, 64000);
  EXPECT_EQ(config.run.threads, 0);
  EXPECT_EQ(config.run.timeout_s, 600);
  EXPECT_EQ(config.run.grace_s, 30);
  EXPECT_EQ(config.run.date, "2024-07-26");
  EXPECT_EQ(to_text(config.run.placement), "pack");
  EXPECT_FALSE(config.run.store_contexts);
  EXPECT_EQ(config.paths.models, "models");
  EXPECT_EQ(config.paths.data, "data");
  EXPECT_EQ(config.paths.prompts, "");
  EXPECT_EQ(config.pairs[0].alpha, std::nullopt);
  EXPECT_EQ(config.datasets[0].path, "");
  EXPECT_EQ(config.datasets[0].limit, std::nullopt);
  EXPECT_EQ(config.datasets[0].max_new_tokens, std::nullopt);
}

TEST_F(ConfigTest, EveryKeyIsRead) {
  const Config config = load(R"(
[run]
name = "mine"
output = "out"
fidelity = "release"
dtype = "float32"
device = "cpu"
transport = "mpi"
limit = 3
batch = 2
prefill_tokens = 100
seed = 7
max_input_tokens = 10
threads = 4
timeout_s = 1.5
date = 2025-02-28
placement = "spread"
store_contexts = true
[paths]
models = "m"
data = "d"
prompts = "p.toml"
[[pair]]
name = "first"
sender = "a"
receiver = "b"
alpha = 0
mu = 0.25
sigma = 3
[[dataset]]
name = "countries"
path = "c.jsonl"
limit = 4
max_new_tokens = 5
[[method]]
name = "skyline"
model = "sender"
limit = 6
)");
  EXPECT_EQ(config.run.name, "mine");
  EXPECT_EQ(config.run.output, "out");
  EXPECT_EQ(config.run.fidelity, FidelityChoice::kRelease);
  EXPECT_EQ(config.run.dtype, DtypeChoice::kFloat32);
  EXPECT_EQ(config.run.device, DeviceChoice::kCpu);
  EXPECT_EQ(config.run.transport, TransportChoice::kMpi);
  EXPECT_EQ(config.run.limit, 3);
  EXPECT_EQ(config.run.batch, 2);
  EXPECT_EQ(config.run.prefill_tokens, 100);
  EXPECT_EQ(config.run.seed, 7);
  EXPECT_EQ(config.run.max_input_tokens, 10);
  EXPECT_EQ(config.run.threads, 4);
  EXPECT_EQ(config.run.timeout_s, 1.5);
  EXPECT_EQ(config.run.date, "2025-02-28");
  EXPECT_EQ(config.run.placement, Placement::kSpread);
  EXPECT_TRUE(config.run.store_contexts);
  EXPECT_EQ(config.paths.models, "m");
  EXPECT_EQ(config.paths.data, "d");
  EXPECT_EQ(config.paths.prompts, "p.toml");
  EXPECT_EQ(config.pairs[0].name, "first");
  EXPECT_EQ(config.pairs[0].senders, std::vector<std::string>{"a"});
  EXPECT_EQ(config.pairs[0].receiver, "b");
  EXPECT_EQ(config.pairs[0].alpha, 0.0);
  EXPECT_EQ(config.pairs[0].mu, 0.25);
  EXPECT_EQ(config.pairs[0].sigma, 3.0);
  EXPECT_EQ(config.datasets[0].path, "c.jsonl");
  EXPECT_EQ(config.datasets[0].limit, 4);
  EXPECT_EQ(config.datasets[0].max_new_tokens, 5);
  EXPECT_EQ(config.methods[0].resolved["model"], "sender");
  EXPECT_EQ(config.methods[0].limit, 6);
}

TEST_F(ConfigTest, DataOfOnesOwnHaveDefaults) {
  const std::string least =
      "[[dataset]]\nname = 'mine'\npath = 'a.jsonl'\nquestion = 'q'\nanswers = 'a'\n";
  const DatasetConfig own = load(kSmall + least).datasets.at(1);
  EXPECT_TRUE(own.is_own());
  EXPECT_EQ(own.context, std::vector<std::string>{"context"});
  EXPECT_EQ(own.id, std::nullopt);
  EXPECT_EQ(own.metric, std::vector<std::string>{"f1"});
  EXPECT_EQ(own.prompts, "qa");
  EXPECT_EQ(own.max_new_tokens, 32);
  EXPECT_EQ(own.shuffle, false);
  EXPECT_EQ(own.limit, std::nullopt);
  const Config config =
      load(kSmall + least +
               "id = 'n'\ncontext = ['t', 'u.v']\nmetric = ['includes', 'f1']\nprompts = 'demo'\n",
           {"dataset.mine.limit=5", "dataset.mine.shuffle=true", "dataset.mine.max_new_tokens=4",
            "dataset.countries.metric=exact_match"});
  const DatasetConfig& set = config.datasets.at(1);
  EXPECT_EQ(set.context, (std::vector<std::string>{"t", "u.v"}));
  EXPECT_EQ(set.question, "q");
  EXPECT_EQ(set.answers, "a");
  EXPECT_EQ(set.id, "n");
  EXPECT_EQ(set.metric, (std::vector<std::string>{"includes", "f1"}));
  EXPECT_EQ(set.prompts, "demo");
  EXPECT_EQ(set.limit, 5);
  EXPECT_EQ(set.max_new_tokens, 4);
  EXPECT_EQ(set.shuffle, true);
  EXPECT_FALSE(config.datasets.at(0).is_own());
  EXPECT_EQ(config.datasets.at(0).metric, std::vector<std::string>{"exact_match"});
  const Config stored = read_data_sets(config_toml(config));
  EXPECT_EQ(stored.paths.data, "data");
  EXPECT_EQ(stored.datasets.at(1).context, set.context);
  EXPECT_EQ(stored.datasets.at(1).shuffle, true);
  EXPECT_EQ(config_toml(load(config_toml(config))), config_toml(config));
}

TEST_F(ConfigTest, MethodsResolveToEveryParameter) {
  const Config config =
      load(kSmall + method("name = 'kvcomm'") + method("name = 'random'\nratio = 1") +
           method("name = 'kvcomm'\nlayers = [3, 0]"));
  EXPECT_EQ(config.methods[0].resolved.dump(), R"({"model":"receiver"})");
  EXPECT_EQ(
      config.methods[1].resolved.dump(),
      R"({"ratio":0.5,"layer_count":null,"layer_counts":null,"alpha":1.0,"mu":0.5,)"
      R"("sigma":10.0,"first_rank":0,"calibration_samples":1,"layers":null,"calibration":"evaluated",)"
      R"("recalibrate_every":0,"control":null,"control_seed":0})");
  // Keys know nothing of parameters that are younger than they and that nobody set.
  EXPECT_EQ(keyed_parameters(config.methods[1]).dump(),
            R"({"ratio":0.5,"layer_count":null,"layer_counts":null,"alpha":1.0,"mu":0.5,)"
            R"("sigma":10.0,"calibration_samples":1,"layers":null})");
  EXPECT_EQ(keyed_parameters(config.methods[2]).dump(), R"({"ratio":1.0,"seed":42})");
  EXPECT_EQ(config.methods[3].resolved["ratio"], nullptr);
  EXPECT_EQ(config.methods[3].resolved["layers"].dump(), "[0,3]");
  EXPECT_EQ(load(kSmall + method("name = 'random'"), {"run.seed=7"}).methods[1].resolved["seed"],
            7);
}

TEST_F(ConfigTest, TheMethodsThatSendNoKeysAndValuesHaveTheirDefaults) {
  const std::string three = method("name = 'ac'") + method("name = 'nld'") +
                            method("name = 'cipher'") + method("name = 'kvcomm_s'");
  const Config paper = load(kSmall + three);
  EXPECT_EQ(keyed_parameters(paper.methods[1]).dump(), R"({"f":"replace","k":26,"j":26})");
  EXPECT_EQ(keyed_parameters(paper.methods[2]).dump(),
            R"({"phase1_tokens":256,"sender_aware":true})");
  EXPECT_EQ(keyed_parameters(paper.methods[3]).dump(),
            R"({"phase1_tokens":256,"sender_aware":true,"temperature":1.0})");
  EXPECT_EQ(paper.methods[4].resolved["ratio"], 0.5);
  const Config release = load(kSmall + three, {"run.fidelity=release"});
  EXPECT_EQ(keyed_parameters(release.methods[2]).dump(),
            R"({"phase1_tokens":128,"sender_aware":false})");
  const Config own = load(kSmall + three, {"run.fidelity=release", "fidelity.phase1_tokens=7",
                                           "method.cipher.phase1_tokens=9"});
  EXPECT_EQ(own.methods[2].resolved["phase1_tokens"], 7);
  EXPECT_EQ(own.methods[3].resolved["phase1_tokens"], 9);
  EXPECT_EQ(own.methods[3].resolved["sender_aware"], false);
}

// ---- fidelity
TEST_F(ConfigTest, FidelityIsTheNamedOneWithTheFieldsThatAreSet) {
  EXPECT_EQ(fidelity_of(load(kSmall)).name, "paper");
  EXPECT_EQ(fidelity_of(load(kSmall, {"run.fidelity=release"})).name, "release");
  const Fidelity mixed = fidelity_of(load(R"([fidelity]
recalibration_scored = false
generation = "common"
phase1_tokens = 24
importance_from = 3
sink_token = true
)" + kSmall,
                                          {"run.fidelity=release", "fidelity.shifted_start=0"}));
  // In the struct's order; sink_token is the release's own value.
  EXPECT_EQ(mixed.name,
            "release(importance_from=3, shifted_start=0, generation=common, phase1_tokens=24, "
            "recalibration_scored=false)");
  EXPECT_EQ(mixed.generation, GenerationSettings::kCommon);
  EXPECT_EQ(mixed.importance_from, 3);
  EXPECT_TRUE(mixed.sink_token && mixed.keep_layer0);
  EXPECT_EQ(mixed.importance_mask, ImportanceMask::kVisiblePlusOne);
}

TEST_F(ConfigTest, EveryFieldOfFidelityCanBeSetAlone) {
  const nlohmann::json paper = values_of(Fidelity::paper()),
                       release = values_of(Fidelity::release());
  EXPECT_EQ(paper.size(), 14u);
  for (const auto& [key, value] : release.items()) {
    const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    const Fidelity fidelity = fidelity_of(load(kSmall, {"fidelity." + key + "=" + text}));
    EXPECT_EQ(fidelity.name, "paper(" + key + "=" + text + ")");
    nlohmann::json expected = paper;
    expected[key] = value;
    EXPECT_EQ(values_of(fidelity), expected);
  }
}

TEST_F(ConfigTest, LabelsShowWhatWasSetInTheTablesOrder) {
  EXPECT_EQ(labels(method("alpha = 0.80\nratio = 0.5\nname = 'kvcomm'")),
            Labels{"kvcomm(ratio=0.5, alpha=0.8)"});
  EXPECT_EQ(labels(method("name = 'kvcomm'\nlayers = [5, 0, 3]\nsigma = 1e1")),
            Labels{"kvcomm(sigma=10, layers=[0,3,5])"});
  EXPECT_EQ(labels(method("name = 'contiguous'\nto = 9\nfrom = 0")),
            Labels{"contiguous(from=0, to=9)"});
  EXPECT_EQ(labels(method("name = 'kvcomm_s'\nalpha = 0.8\nlayer_count = [1, 3]")),
            (Labels{"kvcomm_s(layer_count=1, alpha=0.8)", "kvcomm_s(layer_count=3, alpha=0.8)"}));
  EXPECT_EQ(labels(method("name = 'ac'\nj = 3\nk = 2\nf = ['sum', 'mean']")),
            (Labels{"ac(f=sum, k=2, j=3)", "ac(f=mean, k=2, j=3)"}));
  EXPECT_EQ(labels(method("name = 'nld'\nsender_aware = [true, false]\nphase1_tokens = 24")),
            (Labels{"nld(phase1_tokens=24, sender_aware=true)",
                    "nld(phase1_tokens=24, sender_aware=false)"}));
  EXPECT_EQ(labels(method("name = 'cipher'\ntemperature = 1")), Labels{"cipher(temperature=1)"});
  EXPECT_EQ(labels(method("name = 'kvcomm'\nlayer_counts = 'all'") +
                   method("name = 'contiguous'\nsweep_width = 3")),
            (Labels{"kvcomm(layer_counts=all)", "contiguous(sweep_width=3)"}));
  EXPECT_EQ(labels(method("name = 'skyline'\nmodel = 'sender'\nlimit = 3")),
            Labels{"skyline(model=sender)"});
  const nlohmann::ordered_json disordered{{"alpha", 0.8}, {"ratio", 0.5}};
  EXPECT_EQ(make_method_spec(*find_method("kvcomm"), disordered, 0).label(),
            "kvcomm(ratio=0.5, alpha=0.8)");
}

TEST_F(ConfigTest, ArraysGiveOneCellPerValueFirstParameterSlowest) {
  EXPECT_EQ(labels(method("name = 'kvcomm'\nalpha = [0, 0.5]\nratio = [0.3, 1]")),
            (Labels{"kvcomm(ratio=0.3, alpha=0)", "kvcomm(ratio=0.3, alpha=0.5)",
                    "kvcomm(ratio=1, alpha=0)", "kvcomm(ratio=1, alpha=0.5)"}));
  EXPECT_EQ(labels(method("name = 'random'\nratio = 0.5\nseed = [0, 1, 2]\nlimit = 9")),
            (Labels{"random(ratio=0.5, seed=0)", "random(ratio=0.5, seed=1)",
                    "random(ratio=0.5, seed=2)"}));
  EXPECT_EQ(labels(method("name = 'kvcomm'\nlayers = [[0, 1], [2]]")),
            (Labels{"kvcomm(layers=[0,1])", "kvcomm(layers=[2])"}));
  EXPECT_EQ(load(kSmall + method("name = 'random'\nseed = [0, 1]\nlimit = 9")).methods[2].limit, 9);
}

TEST_F(ConfigTest, PairsAreNamedAfterTheirModels) {
  const auto name = [&](const std::string& sender, const std::string& receiver) {
    return load(kSmall,
                {"pair.small.sender=" + sender,
                 "pair." + sender.substr(sender.rfind('/') + 1) + "--small.receiver=" + receiver})
        .pairs[0]
        .name;
  };
  EXPECT_EQ(load(kSmall).pairs[0].name, "small");
  EXPECT_EQ(name("org/fine", "org/base"), "fine--base");
  EXPECT_EQ(name("org/fine", "./models/base/"), "fine--base");
}

TEST_F(ConfigTest, APairOverridesParametersButNotLabels) {
  const Config config =
      load(kSmall + method("name = 'kvcomm'\nalpha = 0.8") + method("name = 'random'"),
           {"pair.small.alpha=0.25", "pair.small.sigma=3"});
  const MethodSpec kvcomm = for_pair(config.methods[1], config.pairs[0]);
  EXPECT_EQ(kvcomm.label(), "kvcomm(alpha=0.8)");
  EXPECT_EQ(kvcomm.resolved["alpha"], 0.25);
  EXPECT_EQ(kvcomm.resolved["mu"], 0.5);
  EXPECT_EQ(kvcomm.resolved["sigma"], 3.0);
  EXPECT_EQ(for_pair(config.methods[2], config.pairs[0]).resolved, config.methods[2].resolved);
}

TEST_F(ConfigTest, TheMostSpecialLimitHolds) {
  Config config = load(kSmall, {"run.limit=3"});
  const auto limit = [&] { return sample_limit(config, config.datasets[0], config.methods[0]); };
  EXPECT_EQ(limit(), 3);
  config = load(kSmall, {"run.limit=3", "dataset.countries.limit=0"});
  EXPECT_EQ(limit(), 0);
  config = load(kSmall, {"dataset.countries.limit=4", "method.baseline.limit=5"});
  EXPECT_EQ(limit(), 5);
  config = load(kSmall, {"dataset.countries.limit=4", "method.baseline.limit=5"}, {.limit = 2});
  EXPECT_EQ(limit(), 2);
}

// ---- precedence, --set, --pair
TEST_F(ConfigTest, FlagsGoBeforeSetsBeforeTheFile) {
  const std::string toml = "[run]\nlimit = 1\noutput = 'a'\n" + kSmall;
  EXPECT_EQ(load(toml).run.limit, 1);
  EXPECT_EQ(load(toml, {"run.limit=2"}).run.limit, 2);
  EXPECT_EQ(load(toml, {"run.limit=2", "run.limit=3"}).run.limit, 3);
  const Config config = load(toml, {"run.limit=2", "run.output=b"}, {.output = "c", .limit = 4});
  EXPECT_EQ(config.run.limit, 4);
  EXPECT_EQ(config.run.output, "c");
}

TEST_F(ConfigTest, SetTakesTomlOrBareWords) {
  const auto run = [&](const std::string& set) { return load(kSmall, {set}).run; };
  EXPECT_EQ(run("run.dtype=float32").dtype, DtypeChoice::kFloat32);
  EXPECT_EQ(run("run.dtype=\"float32\"").dtype, DtypeChoice::kFloat32);
  EXPECT_EQ(run("run.output=/tmp/a b=c.d").output, "/tmp/a b=c.d");
  EXPECT_EQ(run("run.timeout_s=1e3").timeout_s, 1000);
  EXPECT_EQ(run("run.grace_s=0").grace_s, 0);
  EXPECT_EQ(run("run.output=1\nlimit = 3").output, "1\nlimit = 3");
}

TEST_F(ConfigTest, SetReachesPairsDatasetsAndMethods) {
  EXPECT_EQ(load(kSmall, {"paths.models=/m"}).paths.models, "/m");
  EXPECT_EQ(load(kSmall, {"dataset.countries.path=x.jsonl"}).datasets[0].path, "x.jsonl");
  EXPECT_EQ(load(kSmall, {"pair.small.name=new", "pair.new.mu=1"}).pairs[0].mu, 1.0);
  const std::string two = method("name = 'kvcomm'\nratio = [0.3, 0.5]");
  EXPECT_EQ(labels(two, {"method.kvcomm.alpha=[0, 1]", "method.kvcomm.ratio=0.7"}),
            (Labels{"kvcomm(ratio=0.7, alpha=0)", "kvcomm(ratio=0.7, alpha=1)"}));
  EXPECT_EQ(labels(two, {"method.kvcomm(ratio=0.5).sigma=4",
                         "method.kvcomm(ratio=0.5, sigma=4).mu=[0, 1]"}),
            (Labels{"kvcomm(ratio=0.3)", "kvcomm(ratio=0.5, mu=0, sigma=4)",
                    "kvcomm(ratio=0.5, mu=1, sigma=4)"}));
}

TEST_F(ConfigTest, PairIsChosenByNameOrNumberFromZero) {
  const std::string toml = kSmall + "[[pair]]\nname = 'second'\nsender = 'a'\nreceiver = 'b'\n";
  EXPECT_EQ(load(toml).pairs.size(), 2);
  EXPECT_EQ(load(toml, {}, {.pair = "0"}).pairs.at(0).name, "small");
  EXPECT_EQ(load(toml, {}, {.pair = "1"}).pairs.at(0).name, "second");
  EXPECT_EQ(load(toml, {}, {.pair = "second"}).pairs.size(), 1);
  EXPECT_EQ(
      refusal(toml, {}, {.pair = "2"}),
      "--pair 2: there is no such pair; numbers go from 0 to 1. The names are small, second.");
  EXPECT_EQ(refusal(toml, {}, {.pair = "secnd"}),
            "--pair secnd: there is no such pair; numbers go from 0 to 1. Did you mean 'second'?");
}

// ---- showing
TEST_F(ConfigTest, ShownConfigurationsReadBackAsTheSame) {
  const std::string toml =
      kSmall + "[[pair]]\nsender = 'a'\nreceiver = 'b'\nalpha = 1e-5\nmu = 1e17\n" +
      method("name = 'kvcomm'\nratio = [0.3, 1]\nsigma = 1e20\nlimit = 4") +
      method("name = 'kvcomm'\nlayers = [[0, 2], [1]]") + method("name = 'random'\nseed = [0, 1]") +
      method("name = 'random'") + method("name = 'contiguous'\nfrom = 1\nto = 2") +
      method("name = 'skyline'\nmodel = 'sender'") +
      method("name = 'kvcomm_s'\nlayer_counts = 'all'") + method("name = 'nld'") +
      method("name = 'contiguous'\nsweep_width = 3") + method("name = 'ac'\nf = 'sum'") +
      method("name = 'cipher'\nsender_aware = false\ntemperature = 0.5") +
      "[fidelity]\nlayer_count = 'floor'\nphase1_tokens = 24\n" +
      "[paths]\ndata = \"a \\\"b\\\" \\\\ # \\u007f \\t \\u00e9\"\n";
  const Config config =
      load(toml, {"run.seed=9", "run.date=2025-01-31"}, {.output = "o", .limit = 4});
  for (const std::string& shown : {show_config(config), config_toml(config)}) {
    const Config again = load(shown);
    EXPECT_EQ(config_toml(again), config_toml(config));
    EXPECT_EQ(fidelity_of(again).name, "paper(layer_count=floor, phase1_tokens=24)");
    EXPECT_EQ(again.paths.data, config.paths.data);
    EXPECT_EQ(again.pairs[1].mu, 1e17);
    ASSERT_EQ(again.methods.size(), config.methods.size());
    for (size_t i = 0; i < again.methods.size(); ++i) {
      EXPECT_EQ(again.methods[i].label(), config.methods[i].label());
      EXPECT_EQ(again.methods[i].resolved, config.methods[i].resolved);
      EXPECT_EQ(again.methods[i].limit, config.methods[i].limit);
    }
  }
}

TEST_F(ConfigTest, EachShownValueHasItsSource) {
  const std::string toml = "[run]\nbatch = 4\n" + kSmall +
                           "[[pair]]\nsender = 'a'\nreceiver = 'b'\nalpha = 0.5\n" +
                           method("name = 'random'\nratio = 0.5") + method("name = 'nld'") +
                           "[fidelity]\nprior = 'normalised'\n";
  const std::string shown = show_config(load(toml, {"run.seed=9", "fidelity.phase1_tokens=24"},
                                             {.output = "o", .pair = "1", .limit = 4}));
  const auto source = [&](const std::string& setting) {
    const size_t at = shown.find("\n" + setting + " ");
    if (at == std::string::npos) return "no " + setting + " in\n" + shown;
    const std::string line = shown.substr(at + 1, shown.find('\n', at + 1) - at - 1);
    return fs::path(line.substr(line.rfind("  # ") + 4)).filename().string();
  };
  EXPECT_EQ(source("batch = 4"), "sweep.toml:2:1");
  EXPECT_EQ(source("prefill_tokens = 4096"), "default");
  EXPECT_EQ(source("name = \"sweep\""), "default");
  EXPECT_EQ(source("seed = 9"), "--set run.seed");
  EXPECT_EQ(source("limit = 4"), "--limit");
  EXPECT_EQ(source("output = \"o\""), "--output");
  EXPECT_EQ(source("alpha = 0.5"), "sweep.toml:15:1");
  EXPECT_EQ(source("ratio = 0.5"), "sweep.toml:18:1");
  EXPECT_EQ(source("# seed = 9"), "run.seed");
  EXPECT_EQ(source("# model = \"receiver\""), "default");
  EXPECT_EQ(source("prior = \"normalised\""), "sweep.toml:22:1");
  EXPECT_EQ(source("phase1_tokens = 24"), "--set fidelity.phase1_tokens");
  EXPECT_EQ(source("# sink_token = false"), "run.fidelity");
  EXPECT_EQ(source("# phase1_tokens = 24"), "fidelity.phase1_tokens");
  EXPECT_EQ(source("# sender_aware = true"), "run.fidelity");
  const std::string own =
      show_config(load(kSmall + "[[dataset]]\nname = 'm'\npath = 'p'\nquestion = 'q'\nanswers = "
                                "'a'\nmetric = ['f1', 'includes']\n"));
  EXPECT_NE(own.find("context = \"context\"                       # default\n"), std::string::npos)
      << own;
  EXPECT_NE(own.find("metric = [\"f1\",\"includes\"]"), std::string::npos) << own;
}

}  // namespace
}  // namespace kvcomm::testing
