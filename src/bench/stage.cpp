#include "bench/stage.h"

#include "sweep/agree.h"
#include "sweep/sweep.h"

namespace kvcomm::bench {

std::variant<Stage, Exit> set_stage(Communicator& world, const RunConfig& run,
                                    const std::function<void()>& check) {
  std::string device;
  std::exception_ptr failure = attempt([&] {
    check_launcher(world.size());
    device = device_kind(run);
    check();
  });
  if (const auto code = agree(world, failure)) return *code;
  Stage stage;
  failure = attempt([&] {
    stage.layout = lay_out(world, run, device, /*senders=*/1);
    stage.seat = seat_of(stage.layout, world.rank(), {.run = run}, device);
    stage.threads = set_threads(run, stage.layout, world.rank());
  });
  if (const auto code = agree(world, failure)) return *code;
  return stage;
}

ModelConfig load_shape(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path)) return load_model_config(path);
  if (path.filename() != "config.json") {
    fail(Exit::kEnvironment, "'{}' is no model's folder and no config.json: give one of the two.",
         path.string());
  }
  return load_model_config(std::filesystem::absolute(path).parent_path());
}

}  // namespace kvcomm::bench
