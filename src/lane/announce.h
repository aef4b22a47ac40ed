// What the log says at the start of a run: what runs where, and which models are loaded.
#pragma once

#include <string>
#include <vector>

#include "comm/communicator.h"
#include "config/config.h"
#include "lane/seat.h"

namespace kvcomm {

// "Sweep 'demo': 1 pair, 1 data set and 4 methods; results go to 'results/demo'."
std::string sweep_line(const Config& config);

// A rank as the log shows it.
struct ShownSeat {
  int lane = 0;
  Role role = Role::kBoth;
  std::string host, device, transport;
  int threads = 1;
  int senders = 1;  // of its lane
};

// What runs where, of all ranks in order: a line a lane, or one line for many lanes.
std::vector<std::string> seat_lines(const std::vector<ShownSeat>& ranks);

// Collective: rank 0 logs those lines.
void log_seats(Communicator& world, const Seat& seat, int threads);

// "Lane 0 loads 'models/a' (0.3 MB) as sender and ...": the models' folders, of those alone that
// are not loaded yet ("": the receiver is).
std::string loading_line(int lane, const std::vector<std::string>& senders,
                         const std::string& receiver);

}  // namespace kvcomm
