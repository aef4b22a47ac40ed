#include "sweep/agree.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace kvcomm {

std::optional<Exit> agree(Communicator& world, const std::exception_ptr& failure, Seconds timeout_s,
                          bool nothing_to_do) {
  using Json = nlohmann::json;
  Json mine = {{"exit", 0}, {"what", ""}, {"nothing_to_do", nothing_to_do}};
  try {
    if (failure) std::rethrow_exception(failure);
  } catch (const Error& error) {
    mine = {{"exit", static_cast<int>(error.exit())}, {"what", error.what()}};
  } catch (const std::exception& error) {
    mine = {{"exit", static_cast<int>(Exit::kInternal)}, {"what", error.what()}};
  }
  const std::vector<std::string> all =
      world.all_gather(mine.dump(-1, ' ', false, Json::error_handler_t::replace),
                       {timeout_s, "every rank's start", "all ranks"});
  for (size_t rank = 0; rank < all.size(); ++rank) {
    const Json status = Json::parse(all[rank]);
    if (status.at("exit") == 0) continue;
    if (world.rank() == 0) {
      const std::string who = rank == 0 ? "" : fmt::format("Rank {}: ", rank);
      spdlog::error("{}{}", who, status.at("what").get<std::string>());
    }
    return static_cast<Exit>(status.at("exit").get<int>());
  }
  const auto idle = [](const std::string& status) {
    return Json::parse(status).value("nothing_to_do", false);
  };
  return std::ranges::any_of(all, idle) ? std::optional(Exit::kOk) : std::nullopt;
}

}  // namespace kvcomm
