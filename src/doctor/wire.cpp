#include "doctor/wire.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <regex>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "bench/samples.h"
#include "bench/wire_ends.h"
#include "doctor/look.h"

namespace kvcomm::doctor {

namespace {

constexpr int kMessages = 5;
constexpr double kSlow = 1.5e8;  // bytes/s: Gigabit Ethernet has less
constexpr size_t kShown = 4;

// 16 MiB of keys and values, as a context of 1,024 tokens has in four layers of an 8B model.
Header probe() {
  constexpr int64_t kTokens = 1024;
  Header header{.kind = PayloadKind::kKv,
                .samples = {{.rows = kTokens, .context_tokens = kTokens}}};
  for (int layer = 0; layer < 4; ++layer) {
    const TensorSpec spec{.layer = layer, .row_shape = {8, 128}, .dtype = at::kBFloat16};
    header.tensors.insert(header.tensors.end(), {spec, spec});
  }
  return header;
}

std::vector<at::Tensor> probe_tensors(const Header& header, at::Device device) {
  std::vector<at::Tensor> tensors;
  for (const TensorSpec& spec : header.tensors) {
    tensors.push_back(
        at::empty(shape_of(spec, header), at::TensorOptions().dtype(spec.dtype).device(device))
            .uniform_(-1, 1));
  }
  return tensors;
}

std::filesystem::path nccl_log() {
  return std::filesystem::temp_directory_path() / fmt::format("kvcomm-nccl-{}.log", ::getpid());
}

// What NCCL has told so far; "" where it tells something else than this process asked for.
std::string told_by_nccl() {
  if (!is_there(nccl_log())) return "";
  const std::string log = read_file(nccl_log());
  std::filesystem::remove(nccl_log());
  return log;
}

WireResult measure(Communicator& pair, const Seat& seat) {
  const c10::InferenceMode inference;
  WireResult result{.ends = join(seat.names, " to ")};
  // Where something fails it is left open: closing it would wait for a peer in vain.
  std::unique_ptr<bench::WireEnds> ends;
  try {
    ends = std::make_unique<bench::WireEnds>(pair, seat, Look::kTimeout_s, /*bytes_per_s=*/0);
    const Header header = probe();
    const std::vector<at::Tensor> tensors =
        seat.sends() ? probe_tensors(header, seat.device) : std::vector<at::Tensor>();
    bench::Samples took_s;
    for (int i = 0; i < kMessages; ++i) {
      took_s.push_back(ends->message(bench::WireEnds::Sums::kOn, header, tensors));
    }
    result.bytes_per_s = static_cast<double>(payload_bytes(header)) / bench::median(took_s);
  } catch (const std::exception& error) {
    static_cast<void>(ends.release());
    result.failure = error.what();
  }
  if (seat.transport == "nccl") result.way = ways_in(told_by_nccl());
  return result;
}

// This rank's seat in its lane as one of a sender and the receiver, or alone; nothing where it
// takes no part.
struct Place {
  int lane = 0;
  Seat seat;
};

std::optional<Place> place_of(const Layout& layout, int rank, size_t sender,
                              const std::string& transport) {
  const auto name = [&](int of) {
    return fmt::format("rank {} on {}", of, layout.hosts.at(static_cast<size_t>(of)));
  };
  for (size_t lane = 0; lane < layout.lanes.size(); ++lane) {
    const LaneRanks& ranks = layout.lanes[lane];
    const int receiver = ranks.receiver;
    const int from = ranks.is_one_rank() ? receiver : ranks.senders.at(sender);
    if (rank != receiver && rank != from) continue;
    const Role role = from == receiver   ? Role::kBoth
                      : rank == receiver ? Role::kReceiver
                                         : Role::kSender;
    return Place{.lane = static_cast<int>(lane),
                 .seat = {.role = role,
                          .device = layout.device,
                          .transport = transport,
                          .names = {name(from), name(receiver)}}};
  }
  return std::nullopt;
}

}  // namespace

void to_json(nlohmann::json& json, const WireResult& result) {
  json = {{"ends", result.ends},
          {"bytes_per_s", result.bytes_per_s},
          {"failure", result.failure},
          {"way", result.way}};
}

void from_json(const nlohmann::json& json, WireResult& result) {
  result = {.ends = json.at("ends"),
            .bytes_per_s = json.at("bytes_per_s"),
            .failure = json.at("failure"),
            .way = json.at("way")};
}

void let_nccl_tell() {
  if (::getenv("NCCL_DEBUG") != nullptr || ::getenv("NCCL_DEBUG_FILE") != nullptr) return;
  ::setenv("NCCL_DEBUG", "INFO", /*overwrite=*/0);
  ::setenv("NCCL_DEBUG_FILE", nccl_log().c_str(), /*overwrite=*/0);
}

std::string ways_in(const std::string& log) {
  static const std::regex kVia(R"(Channel .* via (\S+))");
  std::set<std::string> ways;
  for (auto way = std::sregex_iterator(log.begin(), log.end(), kVia); way != std::sregex_iterator();
       ++way) {
    ways.insert((*way)[1]);
  }
  return join(std::vector(ways.begin(), ways.end()), ", ");
}

std::vector<WireResult> measure_wire(Communicator& world, const Layout& layout,
                                     const std::string& transport) {
  std::vector<WireResult> results;
  for (int sender = 0; sender < layout.senders; ++sender) {
    const auto place = place_of(layout, world.rank(), static_cast<size_t>(sender), transport);
    // Those that take no part are a group of their own, which stays silent.
    const int color = place ? place->lane : static_cast<int>(layout.lanes.size());
    const bool last = place && place->seat.role == Role::kReceiver;
    Communicator pair = world.split(color, last ? 1 : 0);
    if (!place) continue;
    WireResult result = measure(pair, place->seat);
    if (place->seat.sends() || !result.failure.empty()) results.push_back(std::move(result));
  }
  return results;
}

Check judge_wire(const std::string& name, const std::vector<WireResult>& results) {
  if (results.empty()) return {.name = name, .status = Status::kSkipped, .found = "no whole lane"};
  std::vector<std::string> failures, measured;
  std::set<std::string> ways;
  for (const WireResult& result : results) {
    if (!result.failure.empty()) {
      failures.push_back(result.ends + ": " + result.failure);
      continue;
    }
    measured.push_back(fmt::format("{} {:.2f} GB/s", result.ends, result.bytes_per_s / 1e9));
    if (!result.way.empty()) ways.insert(result.way);
  }
  if (!failures.empty()) {
    return {.name = name,
            .status = Status::kFailed,
            .found = few(failures, "; "),
            .cure =
                "See that the named hosts reach each other on every network that MPI and NCCL "
                "may choose, or name the right one: OMPI_MCA_btl_tcp_if_include and "
                "NCCL_SOCKET_IFNAME."};
  }
  const auto [slowest, fastest] = std::ranges::minmax(results, {}, &WireResult::bytes_per_s);
  std::string found = join(measured, ", ");
  if (measured.size() > kShown) {
    found = fmt::format("{} wires with {:.2f} to {:.2f} GB/s, the slowest {}", measured.size(),
                        slowest.bytes_per_s / 1e9, fastest.bytes_per_s / 1e9, slowest.ends);
  }
  if (!ways.empty()) {
    found += fmt::format(" via {}", join(std::vector(ways.begin(), ways.end()), ", "));
  }
  if (slowest.bytes_per_s >= kSlow) return {.name = name, .found = found};
  return {.name = name,
          .status = Status::kWarning,
          .found = found,
          .cure =
              "If these hosts have a faster network, name it: OMPI_MCA_btl_tcp_if_include, or "
              "NCCL_SOCKET_IFNAME."};
}

}  // namespace kvcomm::doctor
