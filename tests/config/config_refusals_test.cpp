// What a configuration is refused for: the whole sentence, with place, value and cure.
#include "tests/config/config_fixture.h"

namespace kvcomm::testing {
namespace {

struct Refusal {
  std::string toml;
  std::string sentence;
};

TEST_F(ConfigTest, WrongFilesAreRefused) {
  EXPECT_EQ(refusal("[run]\nlimit = \n").find("sweep.toml:2:"), 0u) << refusal("[run]\nlimit = \n");
  EXPECT_EQ(refusal("[run]\nlimit = 1\nlimit = 2\n").find("sweep.toml:3:"), 0u);
  EXPECT_EQ(refusal("#\n" + std::string(20, '[') + "'.'.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a = 1\n"),
            "sweep.toml:2: a key has more than 15 dots, which no key here has.");
  EXPECT_THROW(load_config("/no/such/sweep.toml"), Error);
  EXPECT_EQ(refusal(""),
            "The configuration has 3 errors:\n"
            "  sweep.toml has no [[pair]]; at least one is needed.\n"
            "  sweep.toml has no [[dataset]]; at least one is needed.\n"
            "  sweep.toml has no [[method]]; at least one is needed.");
}

TEST_F(ConfigTest, UnknownNamesAreRefusedWithTheNearMiss) {
  for (const auto& [added, sentence] : std::vector<Refusal>{
           {"[ru]\n", "sweep.toml:10:2: there is no table 'ru'. Did you mean 'run'?"},
           {"[zzzzzz]\n",
            "sweep.toml:10:2: there is no table 'zzzzzz'. The tables are run, paths, fidelity, "
            "pair, dataset, method."},
           {"[[run]]\n", "sweep.toml:10:3: 'run' must be written as the table [run]."},
           {"[run]\nlimt = 1\n", "sweep.toml:11:1: [run] has no key 'limt'. Did you mean 'limit'?"},
           {"[paths]\nwherever = 'x'\n",
            "sweep.toml:11:1: [paths] has no key 'wherever'. Its keys are models, data, prompts."},
           {"[[pair]]\nname = 'x'\nsender = 'a'\nreceiver = 'b'\nalhpa = 1\n",
            "sweep.toml:14:1: [[pair]] has no key 'alhpa'. Did you mean 'alpha'?"},
           {"[[dataset]]\nname = 'x'\nlimits = 1\n",
            "sweep.toml:12:1: [[dataset]] has no key 'limits'. Did you mean 'limit'?"},
           {"[[method]]\nname = 'kvcom'\n",
            "sweep.toml:11:1: there is no method 'kvcom'. Did you mean 'kvcomm'?"},
           {"[[method]]\nname = 'telepathy'\n",
            "sweep.toml:11:1: there is no method 'telepathy'. The methods are baseline, skyline, "
            "kvcomm, kvcomm_s, random, contiguous, ac, nld, cipher, "
            "hidden_prepend, token_study."},
           {"[fidelity]\nsink_tokn = true\n",
            "sweep.toml:11:1: [fidelity] has no key 'sink_tokn'. Did you mean 'sink_token'?"},
           {"[fidelity]\nname = 'mine'\n",
            "sweep.toml:11:1: [fidelity] has no key 'name'. Its keys are layer_count, keep_layer0, "
            "sink_token, importance_from, importance_mask, prior, unselected_prefill, "
            "shifted_start, generation, phase1_tokens, sender_aware, recalibration_scored, "
            "tie_other_head, clean_up_spaces."},
           {"[[method]]\nname = 'nld'\nphase1_token = 3\n",
            "sweep.toml:12:1: [[method]] nld has no key 'phase1_token'. Did you mean "
            "'phase1_tokens'?"},
           {"[[method]]\nname = 'kvcomm'\nratios = 1\n",
            "sweep.toml:12:1: [[method]] kvcomm has no key 'ratios'. Did you mean 'ratio'?"},
           {"[[method]]\nname = 'random'\nalpha = 1\n",
            "sweep.toml:12:1: [[method]] random has no key 'alpha'. Its keys are name, limit, "
            "ratio, seed, control, control_seed."},
           {"[[method]]\nratio = 1\n",
            "sweep.toml:10:1: [[method]] has no name; give one of baseline, skyline, kvcomm, "
            "kvcomm_s, random, contiguous, ac, nld, cipher, "
            "hidden_prepend, token_study."}}) {
    EXPECT_EQ(refusal(kSmall + added), sentence);
  }
}

TEST_F(ConfigTest, WrongValuesOfRunAreRefused) {
  for (const auto& [line, sentence] : std::vector<Refusal>{
           {"limit = -1", "limit in [run] is -1; an integer of 0 or more is needed."},
           {"limit = 1.0", "limit in [run] is 1.0; an integer of 0 or more is needed."},
           {"limit = '5'", "limit in [run] is '5'; an integer of 0 or more is needed."},
           {"limit = true", "limit in [run] is true; an integer of 0 or more is needed."},
           {"limit = [1, 2]", "limit in [run] is [1, 2]; an integer of 0 or more is needed."},
           {"limit = {n = 1}", "limit in [run] is a table; an integer of 0 or more is needed."},
           {"batch = -1", "batch in [run] is -1; an integer of 0 or more is needed."},
           {"prefill_tokens = 0",
            "prefill_tokens in [run] is 0; an integer of 1 or more is needed."},
           {"batch_tokens = 9",
            "[run] has no key 'batch_tokens' any more: 'prefill_tokens' is the most tokens in one "
            "pass over prompts, however many samples 'batch' takes."},
           {"seed = -3", "seed in [run] is -3; an integer of 0 or more is needed."},
           {"max_input_tokens = 0",
            "max_input_tokens in [run] is 0; an integer of 1 or more is needed."},
           {"threads = -1", "threads in [run] is -1; an integer of 0 or more is needed."},
           {"timeout_s = 0", "timeout_s in [run] is 0; a number above 0 is needed."},
           {"grace_s = -1", "grace_s in [run] is -1; a number 0 or more is needed."},
           {"timeout_s = inf", "timeout_s in [run] is inf; a number above 0 is needed."},
           {"timeout_s = nan", "timeout_s in [run] is nan; a number above 0 is needed."},
           {"output = 3", "output in [run] is 3; text in quotes is needed."},
           {"dtype = 'bfloat61'",
            "dtype in [run] is 'bfloat61'; 'float32' or 'bfloat16' is needed. Did you mean "
            "'bfloat16'?"},
           {"fidelity = 'x'", "fidelity in [run] is 'x'; 'paper' or 'release' is needed."},
           {"device = 'tensor'",
            "device in [run] is 'tensor'; 'auto' or 'cpu' or 'cuda' is needed."},
           {"transport = 1", "transport in [run] is 1; 'auto' or 'mpi' or 'nccl' is needed."},
           {"placement = ''",
            "placement in [run] is ''; 'pack' or 'spread' or 'colocate' is needed."},
           {"date = '2025-02-29'",
            "date in [run] is '2025-02-29'; a day that exists, as \"2024-07-26\", is needed."},
           {"date = '25-2-1'",
            "date in [run] is '25-2-1'; a day that exists, as \"2024-07-26\", is needed."},
           {"date = '-024-02-01'",
            "date in [run] is '-024-02-01'; a day that exists, as \"2024-07-26\", is needed."},
           {"name = 'a/b'",
            "the name 'a/b' of [run] cannot name a file; set 'name' to one that is not empty, does "
            "not begin with a dot and holds no '/'."}}) {
    EXPECT_EQ(refusal("[run]\n" + line + "\n" + kSmall), "sweep.toml:2:1: " + sentence);
  }
}

TEST_F(ConfigTest, WrongParametersOfMethodsAreRefused) {
  for (const auto& [lines, sentence] : std::vector<Refusal>{
           {"kvcomm'\nratio = 0",
            "12:1: ratio in [[method]] kvcomm is 0; a number above 0 and up to 1"},
           {"kvcomm'\nratio = 1.5", "is 1.5; a number above 0 and up to 1 is needed."},
           {"random'\nratio = '0.5'", "[[method]] random is '0.5'; a number above 0 and up to 1"},
           {"kvcomm'\nratio = [0.5, 2]", "ratio in [[method]] kvcomm is 2; a number above 0"},
           {"kvcomm'\nratio = []", "ratio in [[method]] kvcomm is []; a number above 0"},
           {"kvcomm'\nratio = [[0.5]]", "ratio in [[method]] kvcomm is [0.5]; a number above 0"},
           {"kvcomm'\nalpha = -0.1", "alpha in [[method]] kvcomm is -0.1; a number from 0 to 1 is"},
           {"kvcomm'\nmu = 'half'", "mu in [[method]] kvcomm is 'half'; a number is needed."},
           {"kvcomm'\nsigma = 0", "sigma in [[method]] kvcomm is 0; a number above 0 is needed."},
           {"kvcomm'\ncalibration_samples = 0", "is 0; an integer of 1 or more is needed."},
           {"kvcomm'\nlayers = [0, -1]", "is [0, -1]; a list of different layers, counted from 0,"},
           {"kvcomm'\nlayers = [1, 1]", "is [1, 1]; a list of different layers"},
           {"kvcomm'\nlayers = [1.0]", "is [1.0]; a list of different layers"},
           {"kvcomm'\nlayers = []", "is []; a list of different layers"},
           {"kvcomm'\nlayers = [[0], []]", "is []; a list of different layers"},
           {"kvcomm'\nlayers = 3", "is 3; a list of different layers"},
           {"kvcomm'\nlayers = [0]\nratio = 0.5",
            "10:1: kvcomm has both ratio and layers; leave one out."},
           {"random'\nseed = -1", "seed in [[method]] random is -1; an integer of 0 or more"},
           {"contiguous'\nfrom = 1", "10:1: contiguous has no 'to'; give from and to"},
           {"contiguous'\nto = 1", "10:1: contiguous has no 'from'; give from and to"},
           {"contiguous'\nto = 1\nsweep_width = 2",
            "10:1: contiguous has both to and sweep_width; leave one out."},
           {"contiguous'\nsweep_width = 0", "is 0; an integer from 1 to 1000000 is needed."},
           {"contiguous'\nfrom = 4294967296\nto = 1", "an integer from 0 to 1000000 is needed."},
           {"kvcomm'\nlayer_count = 3\nratio = 0.5",
            "10:1: kvcomm has both ratio and layer_count; leave one out."},
           {"kvcomm_s'\nlayer_count = 3\nlayers = [0]",
            "10:1: kvcomm_s has both layer_count and layers; leave one out."},
           {"kvcomm'\nlayer_counts = 'all'\nlayer_count = [1, 2]",
            "10:1: kvcomm has both layer_count and layer_counts; leave one out."},
           {"kvcomm'\nlayer_counts = 'some'", "layer_counts in [[method]] kvcomm is 'some'; 'all'"},
           {"kvcomm'\nlayer_counts = 3",
            "layer_counts in [[method]] kvcomm is 3; 'all' is needed."},
           {"kvcomm'\nlayer_count = 0",
            "layer_count in [[method]] kvcomm is 0; an integer from 1 to 1000000 is needed."},
           {"kvcomm'\nlayer_count = 1.5", "is 1.5; an integer from 1 to 1000000 is needed."},
           {"ac'\nf = 'add'",
            "f in [[method]] ac is 'add'; 'replace' or 'sum' or 'mean' is needed."},
           {"ac'\nk = -1", "k in [[method]] ac is -1; an integer from 0 to 1000000 is needed."},
           {"ac'\nj = 2.5", "j in [[method]] ac is 2.5; an integer from 0 to 1000000 is needed."},
           {"nld'\nphase1_tokens = 0",
            "phase1_tokens in [[method]] nld is 0; an integer from 1 to 1000000 is needed."},
           {"nld'\nsender_aware = 1",
            "sender_aware in [[method]] nld is 1; true or false is needed."},
           {"nld'\ntemperature = 1", "nld has no key 'temperature'."},
           {"cipher'\nphase1_tokens = -5", "phase1_tokens in [[method]] cipher is -5; an integer"},
           {"cipher'\ntemperature = 0",
            "temperature in [[method]] cipher is 0; a number above 0 is needed."},
           {"cipher'\ntemperature = -1.0", "is -1.0; a number above 0 is needed."},
           {"contiguous'\nfrom = 3\nto = 2",
            "10:1: contiguous goes from layer 3 to 2; from must not"},
           {"skyline'\nmodel = 'sendr'",
            "is 'sendr'; 'receiver' or 'sender' is needed. Did you mean 'sender'?"},
           {"skyline'\nlimit = [1]", "limit in [[method]] skyline is [1]; an integer of 0 or more"},
           {"skyline'\nlimit = -1",
            "limit in [[method]] skyline is -1; an integer of 0 or more"}}) {
    const std::string message = refusal(kSmall + "[[method]]\nname = '" + lines + "\n");
    EXPECT_NE(message.find(sentence), std::string::npos) << lines << "\n" << message;
    EXPECT_EQ(message.find("sweep.toml:1"), 0u) << message;
  }
}

TEST_F(ConfigTest, WrongFieldsOfFidelityAreRefused) {
  for (const auto& [line, sentence] : std::vector<Refusal>{
           {"sink_token = 1", "sink_token in [fidelity] is 1; true or false is needed."},
           {"layer_count = 'round'",
            "layer_count in [fidelity] is 'round'; 'ceil' or 'floor' is needed."},
           {"importance_from = -1",
            "importance_from in [fidelity] is -1; an integer from 0 to 1000000 is needed."},
           {"importance_mask = 'visible'",
            "importance_mask in [fidelity] is 'visible'; 'causal' or 'visible_plus_one' is "
            "needed."},
           {"prior = 'plan'",
            "prior in [fidelity] is 'plan'; 'plain' or 'normalised' is needed. Did you mean "
            "'plain'?"},
           {"phase1_tokens = 0",
            "phase1_tokens in [fidelity] is 0; an integer from 1 to 1000000 is needed."}}) {
    EXPECT_EQ(refusal("[fidelity]\n" + line + "\n" + kSmall), "sweep.toml:2:1: " + sentence);
  }
  EXPECT_EQ(refusal(kSmall, {"fidelity.sink=true"}),
            "--set fidelity.sink: [fidelity] has no key 'sink'. Its keys are layer_count, "
            "keep_layer0, sink_token, importance_from, importance_mask, prior, "
            "unselected_prefill, shifted_start, generation, phase1_tokens, sender_aware, "
            "recalibration_scored, tie_other_head, clean_up_spaces.");
  EXPECT_EQ(refusal(kSmall, {"fidelity.release.sink_token=true"}),
            "--set fidelity.release.sink_token: write it as fidelity.key=value.");
}

TEST_F(ConfigTest, WrongPairsAndDatasetsAreRefused) {
  for (const auto& [added, sentence] : std::vector<Refusal>{
           {"[[pair]]\nsender = 'a'\n",
            "sweep.toml:10:1: [[pair]] has no receiver; give a model's name below paths.models, or "
            "a "
            "path."},
           {"[[pair]]\nreceiver = 'a'\n",
            "sweep.toml:10:1: [[pair]] has no sender; give a model's name below paths.models, or a "
            "path."},
           {"[[pair]]\nsender = 'a'\nreceiver = 'b'\nalpha = 2\n",
            "sweep.toml:13:1: alpha in [[pair]] is 2; a number from 0 to 1 is needed."},
           {"[[pair]]\nsender = 'a'\nreceiver = 'b'\nsigma = 0\n",
            "sweep.toml:13:1: sigma in [[pair]] is 0; a number above 0 is needed."},
           {"[[pair]]\nsender = 'a'\nreceiver = 'b'\nname = '..'\n",
            "sweep.toml:13:1: the name '..' of [[pair]] cannot name a file; set 'name' to one "
            "that "
            "is not empty, does not begin with a dot and holds no '/'."},
           {"[[pair]]\nsender = 'other/small'\nreceiver = 'other/small'\n",
            "sweep.toml:10:1: [[pair]] 'small' is there already, at sweep.toml:1:1; give this pair "
            "another with name = \"...\"."},
           {"[[dataset]]\nname = 'countries'\n",
            "sweep.toml:10:1: [[dataset]] 'countries' is there already, at sweep.toml:5:1; give "
            "each "
            "data set once."},
           {"[[dataset]]\npath = 'x'\n",
            "sweep.toml:10:1: the name '' of [[dataset]] cannot name a file; set 'name' to one "
            "that "
            "is not empty, does not begin with a dot and holds no '/'."},
           {"[[dataset]]\nname = 'x'\nmax_new_tokens = 0\n",
            "sweep.toml:12:1: max_new_tokens in [[dataset]] is 0; an integer of 1 or more is "
            "needed."},
           {"[[method]]\nname = 'baseline'\n",
            "sweep.toml:10:1: [[method]] 'baseline' is there already, at sweep.toml:8:1; leave one "
            "out."},
           {"[[method]]\nname = 'kvcomm'\nratio = [0.5, 0.50]\n",
            "sweep.toml:10:1: [[method]] 'kvcomm(ratio=0.5)' is there already, at sweep.toml:10:1; "
            "leave one out."}}) {
    EXPECT_EQ(refusal(kSmall + added), sentence);
  }
}

TEST_F(ConfigTest, WrongDataSetsAreRefused) {
  const std::string own = "[[dataset]]\nname = 'mine'\npath = 'p'\nquestion = 'q'\nanswers = 'a'\n";
  const std::string needed =
      "; data of your own need path, and in question and answers the names of the records' fields.";
  for (const auto& [added, sentence] : std::vector<Refusal>{
           {"[[dataset]]\nname = 'mine'\npath = 'p'\n",
            "sweep.toml:10:1: [[dataset]] 'mine' has no question, no answers" + needed},
           {"[[dataset]]\nname = 'mine'\nquestion = 'q'\nanswers = 'a'\n",
            "sweep.toml:10:1: [[dataset]] 'mine' has no path" + needed},
           {"[[dataset]]\nname = 'hotpot_qa'\npath = 'p'\nanswers = 'a'\n",
            "sweep.toml:10:1: [[dataset]] 'hotpot_qa' has no question" + needed +
                " Did you mean 'hotpotqa'?"},
           {"[[dataset]]\nname = '2wikimqa'\n",
            "sweep.toml:11:1: The data set '2wikimqa' is called 'twowikimqa' here. Data of your "
            "own "
            "need path, question and answers."},
           {"[[dataset]]\nname = 'hotpotqa'\nquestion = 'q'\n",
            "sweep.toml:12:1: question in [[dataset]] 'hotpotqa' is for data of your own, and the "
            "form of 'hotpotqa' is known; leave it out, or give your data another name."},
           {"[[dataset]]\nname = 'demo'\nshuffle = true\n",
            "sweep.toml:12:1: shuffle in [[dataset]] 'demo' is for data of your own, and the form "
            "of "
            "'demo' is known; leave it out, or give your data another name."},
           {"[[dataset]]\nname = 'demo'\nmetric = 'f2'\n",
            "sweep.toml:12:1: there is no metric 'f2'. Did you mean 'f1'?"},
           {own + "metric = ['f1', 'f1']\n",
            "sweep.toml:15:1: the metric 'f1' is there twice; leave one out."},
           {own + "metric = []\n",
            "sweep.toml:15:1: metric in [[dataset]] is []; a text or a list of texts is needed."},
           {own + "context = ['t', 1]\n",
            "sweep.toml:15:1: context in [[dataset]] is ['t', 1]; a text or a list of texts is "
            "needed."},
           {own + "shuffle = 'no'\n",
            "sweep.toml:15:1: shuffle in [[dataset]] is 'no'; true or false is needed."},
           {own + "answer = 'a'\n",
            "sweep.toml:15:1: [[dataset]] has no key 'answer'. Did you mean 'answers'?"},
           {"[[dataset]]\nname = 'math'\npath = 'p'\nquestion = 'q'\nanswers = 'a'\n",
            "sweep.toml:11:1: the prompts' table [math] would take the place of prompts = \"qa\", "
            "since a data set's own name goes first; give the data set another name."},
           {own + own,
            "sweep.toml:15:1: [[dataset]] 'mine' is there already, at sweep.toml:10:1; give each "
            "data set once."}}) {
    EXPECT_EQ(refusal(kSmall + added), sentence);
  }
  const std::string unknown = refusal(kSmall + "[[dataset]]\nname = 'countrys'\n");
  EXPECT_EQ(unknown.find("sweep.toml:11:1: Unknown data set 'countrys'. Did you mean 'countries'?"),
            0u)
      << unknown;
  EXPECT_TRUE(unknown.ends_with("Data of your own need path, question and answers.")) << unknown;
}

TEST_F(ConfigTest, WrongSetsAndFlagsAreRefused) {
  for (const auto& [set, sentence] : std::vector<Refusal>{
           {"run.limt=5", "--set run.limt: [run] has no key 'limt'. Did you mean 'limit'?"},
           {"run.limit=five",
            "--set run.limit: limit in [run] is 'five'; an integer of 0 or more is needed."},
           {"rum.limit=5", "--set rum.limit: there is no table 'rum'. Did you mean 'run'?"},
           {"limit=5",
            "--set limit=5: write it as run.key=value, paths.key=value, fidelity.key=value, "
            "pair.NAME.key=value, dataset.NAME.key=value or method.NAME.key=value."},
           {"run.limit",
            "--set run.limit: write it as run.key=value, paths.key=value, fidelity.key=value, "
            "pair.NAME.key=value, dataset.NAME.key=value or method.NAME.key=value."},
           {"run.a.limit=5", "--set run.a.limit: write it as run.key=value."},
           {"pair.alpha=1", "--set pair.alpha: write it as pair.NAME.key=value."},
           {"pair.smal.alpha=1",
            "--set pair.smal.alpha: there is no pair 'smal'. Did you mean "
            "'small'?"},
           {"dataset.other.limit=1",
            "--set dataset.other.limit: there is no dataset 'other'. Of that sort there are "
            "countries."},
           {"method.skyline.limit=1",
            "--set method.skyline.limit: there is no method 'skyline'. Of that sort there are "
            "baseline."},
           {"method.kvcomm(ratio=0.5).mu=1",
            "--set method.kvcomm(ratio=0.5).mu: there is no method 'kvcomm(ratio=0.5)'. Of that "
            "sort "
            "there are baseline."}}) {
    EXPECT_EQ(refusal(kSmall, {set}), sentence);
  }
  EXPECT_EQ(refusal(kSmall, {}, {.limit = -1}),
            "--limit: limit in [run] is -1; an integer of 0 or more is needed.");
}

TEST_F(ConfigTest, AllErrorsAreListedAtOnce) {
  EXPECT_EQ(refusal("[run]\nlimt = 1\nbatch = -1\n" + kSmall + "[[method]]\nname = 'nid'\n",
                    {"paths.dta=x"}),
            "The configuration has 4 errors:\n"
            "  sweep.toml:3:1: batch in [run] is -1; an integer of 0 or more is needed.\n"
            "  sweep.toml:2:1: [run] has no key 'limt'. Did you mean 'limit'?\n"
            "  --set paths.dta: [paths] has no key 'dta'. Did you mean 'data'?\n"
            "  sweep.toml:14:1: there is no method 'nid'. Did you mean 'nld'?");
}

}  // namespace
}  // namespace kvcomm::testing
