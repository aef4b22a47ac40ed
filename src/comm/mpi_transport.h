// The transports between two ranks. NotesOverMpi sends the notes over the lane's communicator;
// MpiTransport the tensors too, from and to host memory (through pinned buffers where they lie on a
// GPU).
#pragma once

#include <deque>

#include "comm/communicator.h"
#include "comm/pipe_end.h"
#include "comm/transport.h"

namespace kvcomm {

// From this rank to the other end's; several pipes share a communicator by their tags.
struct MpiRoute {
  Communicator& lane;  // outlives the transport
  int peer = 0;        // the other end's rank in it
  int first_tag = 0;   // notes have the three tags behind it, the payload the fourth
};

class NotesOverMpi : public Transport {
 public:
  ~NotesOverMpi() override;

  void send_note(ControlMessage kind, std::string bytes) override;
  std::optional<std::string> poll_note(ControlMessage kind) override;
  void progress() override;

 protected:
  NotesOverMpi(const MpiRoute& route, EndOptions options)
      : route_(route), options_(std::move(options)) {}

  int peer() const { return route_.peer; }
  const MpiRoute& route() const { return route_; }
  const EndOptions& options() const { return options_; }

 private:
  int tag(ControlMessage kind) const { return route_.first_tag + static_cast<int>(kind); }

  MpiRoute route_;
  EndOptions options_;
  std::deque<Transfer> notes_;  // under way
};

class MpiTransport : public NotesOverMpi {
 public:
  static constexpr int kPayloadTag = 4;  // after the notes'
  static constexpr int kTags = 8;        // so far apart are the first tags of two pipes

  MpiTransport(const MpiRoute& route, EndOptions options);

  std::unique_ptr<Sending> start_sending() override;
  std::unique_ptr<Receiving> start_receiving(const Header& header) override;
};

}  // namespace kvcomm
