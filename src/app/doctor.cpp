#include "app/doctor.h"

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <thread>

#include "base/log.h"
#include "comm/communicator.h"
#include "doctor/doctor.h"
#include "doctor/look.h"
#include "doctor/wire.h"
#include "sweep/signals.h"

namespace kvcomm {

namespace {

using doctor::Check;
using doctor::Status;
using Checks = std::vector<Check>;

constexpr Seconds kStart_s = 60;  // for MPI, which may wait for processes that never come

doctor::Options options_of(const DoctorArguments& arguments) {
  doctor::Options options{.quick = arguments.quick};
  if (!arguments.output.empty()) options.output = arguments.output;
  if (arguments.file.empty()) return options;
  options.sweep =
      doctor::SweepFile{.toml = arguments.file, .sets = arguments.sets, .overrides = {}};
  if (!arguments.output.empty()) options.sweep->overrides.output = arguments.output;
  return options;
}

}  // namespace

void add_doctor_options(CLI::App& command, DoctorArguments& arguments) {
  CLI::Option& sweep =
      *command.add_option("sweep", arguments.file,
                          "A sweep's TOML file, whose models, data and memory are looked at, too");
  command.add_option("--set", arguments.sets, "Set any key, as of `kvcomm run`")
      ->take_all()
      ->allow_extra_args(false)
      ->needs(&sweep);
  command.add_option("-o,--output", arguments.output,
                     "The folder that results will go to (default: the sweep's own, else results)");
  command.add_flag("--json", arguments.json, "Print the checks as JSON");
  command.add_flag("--quick", arguments.quick,
                   "Compare weights by the sizes of their files, without reading them");
  command.footer("Example: mpirun -np 2 --bind-to none kvcomm doctor sweep.toml");
}

Exit doctor_command(const DoctorArguments& arguments) {
  const doctor::Start start = doctor::look_at_start();
  catch_stop_signals();
  doctor::let_nccl_tell();
  const auto print = [&](const Checks& checks) {
    std::fputs((arguments.json ? to_json_text(checks) : to_text(checks)).c_str(), stdout);
    std::fflush(stdout);
  };
  const auto print_failure = [&](const std::string& found, const std::string& cure) {
    if (start.task > 0) return;  // each of the launcher's processes would say the same
    print({{.name = "mpi", .status = Status::kFailed, .found = found, .cure = cure}});
  };
  std::optional<std::jthread> dog = doctor::watchdog(kStart_s, [&] {
    print_failure(fmt::format("MPI did not start within {:.0f} s", kStart_s),
                  "See that the launcher's processes all start and reach each other: a firewall, "
                  "a network interface that only some nodes have (OMPI_MCA_btl_tcp_if_include "
                  "names one that all have), or another MPI's launcher does this.");
    std::_Exit(static_cast<int>(Exit::kEnvironment));
  });
  std::optional<MpiEnv> mpi;
  try {
    int argc = 0;
    char** argv = nullptr;
    mpi.emplace(argc, argv);
  } catch (const Error& error) {
    print_failure(error.what(), "Use an Open MPI that serves several threads (Debian's does).");
    return error.exit();
  }
  Communicator world = Communicator::world();
  Communicator node = world.split_by_node();
  dog.reset();
  start_log(world.size() == 1 ? -1 : world.rank(), spdlog::get_level());
  try {
    return examine(world, node, start, options_of(arguments), print);
  } catch (const Error& error) {  // other ranks may be waiting for this one
    spdlog::critical("{}", error.what());
    abort_job(static_cast<int>(error.exit()));
  } catch (const std::exception& error) {
    spdlog::critical("Internal error: {}", error.what());
    abort_job(static_cast<int>(Exit::kInternal));
  }
}

}  // namespace kvcomm
