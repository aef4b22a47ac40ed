#include "app/commands.h"

#include <fmt/format.h>

#include <cstdio>

#include "app/tables.h"
#include "base/log.h"
#include "base/text.h"
#include "comm/communicator.h"
#include "sweep/plan.h"
#include "sweep/signals.h"
#include "sweep/sweep.h"

namespace kvcomm {

namespace {

void print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

Config configure(const SweepArguments& arguments) {
  return load_config(arguments.file, arguments.sets, arguments.overrides);
}

}  // namespace

Exit run_command(const SweepArguments& arguments) {
  if (arguments.show_config) {
    print(show_config(configure(arguments)));
    return Exit::kOk;
  }
  catch_stop_signals();  // first: a start can take long, and a stop then is resumable too
  int argc = 0;
  char** argv = nullptr;
  const MpiEnv mpi(argc, argv);
  Communicator world = Communicator::world();
  start_log(world.size() == 1 ? -1 : world.rank());
  try {
    return run_sweep(
        world, [&] { return configure(arguments); }, arguments.argv,
        [](const Results& results) { print(results_table(results)); });
  } catch (const Error& error) {  // other ranks may be waiting for this one
    spdlog::critical("{}", error.what());
    abort_job(static_cast<int>(error.exit()));
  }
}

Exit plan_command(const SweepArguments& arguments) {
  const Config config = configure(arguments);
  if (arguments.show_config) {
    print(show_config(config));
    return Exit::kOk;
  }
  const Plan plan = make_plan(config, device_kind(config.run));
  const Stored stored(read_journals(config.run.output));
  print(plan_table(plan, stored));
  return Exit::kOk;
}

Exit merge_command(const std::string& output) {
  if (journal_files(output).empty()) {
    fail(Exit::kUsage, "There are no journals in '{}': give the folder that a sweep wrote to.",
         output + "/journal");
  }
  print(results_table(merge_and_log(output)));
  return Exit::kOk;
}

Exit list_command(const std::string& what, const std::string& data_folder) {
  std::vector<std::vector<std::string>> rows;
  if (what == "methods") {
    rows.push_back({"method", "parameters", "crosses the wire", "what it is"});
    for (const MethodKind& kind : method_kinds()) {
      std::vector<std::string> parameters;
      for (const Parameter& parameter : kind.parameters) {
        parameters.push_back(parameter.default_value.is_null()
                                 ? parameter.name
                                 : parameter.name + "=" + parameter.default_value.dump());
      }
      rows.push_back({kind.name, join(parameters, ", "), kind.crosses, kind.summary});
    }
  } else {
    rows.push_back({"data set", "file", "metric", "new tokens", "found"});
    for (const DatasetInfo& info : dataset_table()) {
      const std::filesystem::path file = std::filesystem::path(data_folder) / info.file_name;
      std::string found = "no file " + file.string();
      if (std::filesystem::exists(file)) {
        found = fmt::format("{} samples in {}", load_dataset(info.name, file).samples.size(),
                            file.string());
      }
      rows.push_back(
          {info.name, info.file_name, info.metric, std::to_string(info.max_new_tokens), found});
    }
  }
  print(text_table(rows));
  return Exit::kOk;
}

}  // namespace kvcomm
