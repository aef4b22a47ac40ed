#include "lane/announce.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/log.h"
#include "base/text.h"
#include "lane/topology.h"
#include "model/safetensors.h"
#include "store/process.h"

namespace kvcomm {

namespace fs = std::filesystem;
using Json = nlohmann::json;

namespace {

constexpr size_t kLanesShown = 8;  // one by one
constexpr size_t kHostsShown = 4;

std::string count(size_t n, const std::string& what) {
  return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s");
}

// "cpu, 2 threads on node7"
std::string where(const ShownSeat& seat) {
  return fmt::format("{}, {} on {}", seat.device,
                     count(static_cast<size_t>(seat.threads), "thread"), seat.host);
}

// Alike values once each, the first ones by name.
std::string few(const std::set<std::string>& values) {
  std::vector<std::string> shown(values.begin(), values.end());
  if (shown.size() > kHostsShown) {
    shown.resize(kHostsShown);
    shown.push_back("...");
  }
  return join(shown, ", ");
}

// "a sender", "2 senders".
std::string senders_text(size_t senders) {
  return senders == 1 ? "a sender" : fmt::format("{} senders", senders);
}

std::string many_lanes(const std::vector<ShownSeat>& ranks, size_t lanes) {
  std::set<std::string> hosts, devices, transports, threads;
  size_t senders = 0;
  for (const ShownSeat& seat : ranks) {
    senders += seat.role == Role::kSender;
    hosts.insert(seat.host);
    devices.insert(seat.device.substr(0, seat.device.find(':')));
    transports.insert(seat.transport);
    threads.insert(std::to_string(seat.threads));
  }
  return fmt::format(
      "{} lanes of {} and a receiver: {} ranks on {} ({}), {}, {} threads each, by {}.", lanes,
      senders_text(std::max<size_t>(1, senders / lanes)), ranks.size(), count(hosts.size(), "host"),
      few(hosts), few(devices), few(threads), few(transports));
}

std::string model_text(const std::string& folder) {
  double bytes = 0;
  for (const fs::path& file : safetensors_files(folder)) {
    bytes += static_cast<double>(fs::file_size(file));
  }
  return bytes < 1e9 ? fmt::format("'{}' ({:.1f} MB)", folder, bytes / 1e6)
                     : fmt::format("'{}' ({:.1f} GB)", folder, bytes / 1e9);
}

}  // namespace

std::string sweep_line(const Config& config) {
  return fmt::format("Sweep '{}': {}, {} and {}; results go to '{}'.", config.run.name,
                     count(config.pairs.size(), "pair"), count(config.datasets.size(), "data set"),
                     count(config.methods.size(), "method"), config.run.output.string());
}

std::vector<std::string> seat_lines(const std::vector<ShownSeat>& ranks) {
  std::map<int, std::map<Role, std::vector<size_t>>> lanes;  // ranks by lane and role
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    lanes[ranks[rank].lane][ranks[rank].role].push_back(rank);
  }
  if (lanes.size() > kLanesShown) return {many_lanes(ranks, lanes.size())};
  std::vector<std::string> lines;
  for (const auto& [lane, roles] : lanes) {
    if (roles.contains(Role::kBoth)) {
      lines.push_back(
          fmt::format("Lane {}: one process plays {} ends ({}).", lane,
                      ranks[roles.at(Role::kBoth).front()].senders == 1 ? "both" : "all",
                      where(ranks[roles.at(Role::kBoth).front()])));
      continue;
    }
    std::vector<std::string> senders;
    for (const size_t rank : roles.at(Role::kSender)) {
      senders.push_back(fmt::format("rank {} ({})", rank, where(ranks[rank])));
    }
    const size_t receiver = roles.at(Role::kReceiver).front();
    lines.push_back(fmt::format("Lane {}: {} {}, receiver rank {} ({}), by {}.", lane,
                                senders.size() == 1 ? "sender is" : "senders are",
                                join(senders, " and "), receiver, where(ranks[receiver]),
                                ranks[receiver].transport));
  }
  return lines;
}

void log_seats(Communicator& world, const Seat& seat, int threads) {
  const Json mine = {{"lane", seat.lane},           {"role", seat.role},
                     {"host", host_name()},         {"device", seat.device.str()},
                     {"transport", seat.transport}, {"threads", threads},
                     {"senders", seat.senders}};
  std::vector<ShownSeat> ranks;
  for (const std::string& text :
       world.all_gather(mine.dump(), {kTogether_s, "every rank's seat", "all ranks"})) {
    const Json theirs = Json::parse(text);
    ranks.push_back({theirs.at("lane"), theirs.at("role"), theirs.at("host"), theirs.at("device"),
                     theirs.at("transport"), theirs.at("threads"), theirs.at("senders")});
  }
  if (world.rank() != 0) return;
  for (const std::string& line : seat_lines(ranks)) spdlog::info("{}", line);
}

std::string loading_line(int lane, const std::vector<std::string>& senders,
                         const std::string& receiver) {
  const bool shared = std::ranges::count(senders, receiver) > 0;
  if (shared && senders.size() == 1) {
    return fmt::format("Lane {} loads {}.", lane, model_text(receiver));
  }
  std::vector<std::string> models;
  for (const std::string& sender : senders) {
    const char* roles = sender == receiver ? " as sender and receiver" : " as sender";
    models.push_back(model_text(sender) + roles);
  }
  if (!receiver.empty() && !shared) models.push_back(model_text(receiver) + " as receiver");
  return fmt::format("Lane {} loads {}.", lane, join(models, " and "));
}

}  // namespace kvcomm
