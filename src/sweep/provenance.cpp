#include "sweep/provenance.h"

#include <sys/utsname.h>
#include <torch/headeronly/version.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "comm/communicator.h"
#include "comm/nccl_link.h"
#include "store/h5.h"
#include "sweep/build_info.h"

extern char** environ;

namespace kvcomm {

namespace {

std::string first_value(const char* file, const std::string& key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    const size_t colon = line.find(':');
    if (line.starts_with(key) && colon != std::string::npos) {
      return line.substr(line.find_first_not_of(" \t", colon + 1));
    }
  }
  return "unknown";
}

// The settings that can change how a run behaves.
std::map<std::string, std::string> environment() {
  std::map<std::string, std::string> chosen;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const size_t equals = text.find('=');
    const std::string name = text.substr(0, equals);
    const bool wanted = name.starts_with("SLURM_") || name.starts_with("NCCL_") ||
                        name.starts_with("UCX_") || name.starts_with("OMPI_MCA_") ||
                        name == "CUDA_VISIBLE_DEVICES" || name == "OMP_NUM_THREADS" ||
                        name == "OMP_WAIT_POLICY" || name == "GOMP_SPINCOUNT" ||
                        name == "HDF5_USE_FILE_LOCKING";
    if (wanted && equals != std::string::npos) chosen[name] = text.substr(equals + 1);
  }
  return chosen;
}

// Their versions; "" where the build has none.
std::vector<std::pair<std::string, std::string>> libraries() {
  const std::string mpi = mpi_version();  // "openmpi@4.1.4"
  const size_t at = mpi.find('@');
  return {{"libtorch", TORCH_VERSION},
          {mpi.substr(0, at), mpi.substr(at + 1)},
          {"hdf5", h5_version()},
          {"nccl", nccl_version()},
          {"gcc", __VERSION__}};
}

// "libtorch@2.11.0;openmpi@4.1.4;..."
std::string dependencies() {
  std::vector<std::string> parts;
  for (const auto& [library, version] : libraries()) {
    if (!version.empty()) parts.push_back(library + "@" + version);
  }
  return join(parts, ";");
}

// What a data set's fingerprint is called in a run's record.
std::string fingerprint_name(const Plan& plan, const Dataset& dataset) {
  const size_t senders = senders_of(plan.config);
  return fmt::format(
      "data {}{}{}", dataset.info.name,
      dataset.info.sampled > 0 && !parts_of_mix(dataset.info.name).empty() ? ", shuffled" : "",
      senders == 1 ? "" : fmt::format(", for {} senders", senders));
}

}  // namespace

std::string machine_text() {
  utsname name{};
  uname(&name);
  return fmt::format("{}; {}; {} cores; {} memory; {} {}", name.nodename,
                     first_value("/proc/cpuinfo", "model name"),
                     std::thread::hardware_concurrency(), first_value("/proc/meminfo", "MemTotal"),
                     name.sysname, name.release);
}

std::string program_version() { return kVersion; }

std::string version_text() {
  std::string text = fmt::format("kvcomm {} (commit {})\n", kVersion, kCommit);
  for (const auto& [library, version] : libraries()) {
    text += fmt::format("{} {}\n", library, version.empty() ? "is not in this build" : version);
  }
  text.pop_back();
  return text;
}

RunRecord describe_program(const std::vector<std::string>& argv) {
  return {.date = wall_clock_text(),
          .argv = argv,
          .version = kVersion,
          .commit = kCommit,
          .dependencies = dependencies(),
          .machine = machine_text(),
          .environment = environment()};
}

RunRecord describe_run(const Plan& plan, const std::string& run_id,
                       const std::vector<std::string>& argv) {
  RunRecord run = describe_program(argv);
  run.run_id = run_id;
  run.config = config_toml(plan.config);
  for (size_t i = 0; i < plan.pairs.size(); ++i) {
    const PairConfig& pair = plan.config.pairs[i];
    run.batches[pair.name] = plan.pairs[i].batch;
    for (size_t s = 0; s < pair.senders.size(); ++s) {
      run.fingerprints["weights " + pair.senders[s]] = plan.pairs[i].senders[s].fingerprint;
    }
    run.fingerprints["weights " + pair.receiver] = plan.pairs[i].receiver.fingerprint;
    run.fingerprints["tokenizer " + pair.receiver] = plan.pairs[i].tokenizer_hash;
    run.fingerprints["chat template " + pair.receiver] = plan.pairs[i].chat_hash;
  }
  for (const Dataset& dataset : plan.datasets) {
    run.fingerprints[fingerprint_name(plan, dataset)] = dataset.fingerprint;
  }
  return run;
}

void require_same_data(const Plan& plan, const Journals& journals) {
  constexpr size_t kShown = 12;  // digits of a fingerprint
  for (const Dataset& dataset : plan.datasets) {
    if (dataset.fingerprint.empty()) continue;  // planned without its file
    const auto knows = [&](const RunJournal& journal) {
      return journal.run.fingerprints.contains(fingerprint_name(plan, dataset));
    };
    const auto newest = std::ranges::find_if(journals.runs.rbegin(), journals.runs.rend(), knows);
    if (newest == journals.runs.rend()) continue;
    const RunRecord& run = newest->run;
    const std::string& before = run.fingerprints.at(fingerprint_name(plan, dataset));
    if (dataset.path.empty() || before == dataset.fingerprint) continue;  // absent, or the same
    fail(Exit::kUsage,
         "The data set '{}' changed: its fingerprint was {} for the run of {} in '{}', that of "
         "'{}' is {}. Put the former data back, or choose another folder with --output.",
         dataset.info.name, before.substr(0, kShown), run.date, plan.config.run.output.string(),
         dataset.path.string(), dataset.fingerprint.substr(0, kShown));
  }
}

}  // namespace kvcomm
