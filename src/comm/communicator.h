// MPI as the program sees it: the environment, communicators, messages of bytes. Every wait has a
// deadline and sleeps, every return code is checked. mpi.h itself stays in communicator.cpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "comm/deadline.h"

namespace kvcomm {

// MPI from construction to destruction, with or without mpirun. One object, made in main, before
// every Communicator. Fails (kEnvironment) when the library cannot serve several threads at once.
class MpiEnv {
 public:
  MpiEnv(int& argc, char**& argv);
  ~MpiEnv();
  MpiEnv(const MpiEnv&) = delete;
  MpiEnv& operator=(const MpiEnv&) = delete;
};

// Ends every process of the job, so that no peer waits for one that failed. Flushes the log.
[[noreturn]] void abort_job(int code);

// "openmpi@4.1.4", as far as the library says.
std::string mpi_version();

struct Received {
  int source;  // rank within the communicator
  std::string bytes;
};

// Calls each(part) for the bytes in order, in parts of at most so many.
template <typename Byte, typename Each>
void in_parts(std::span<Byte> bytes, size_t most, const Each& each) {
  while (!bytes.empty()) {
    const auto part = bytes.first(std::min(bytes.size(), most));
    each(part);
    bytes = bytes.subspan(part.size());
  }
}

// One send or receive under way. Its buffer's owner is kept until it is done. The buffer of one
// that is given up unfinished and cannot be cancelled is left to the process's end, since the
// library may still use it.
class Transfer {
 public:
  Transfer(Transfer&&) noexcept;
  Transfer& operator=(Transfer&&) noexcept;
  ~Transfer();

  // True once the buffer is free again. Each call lets the MPI library work.
  bool done();

  // Of a receive that is done: the bytes that came.
  size_t received_bytes() const;

 private:
  friend class Communicator;
  struct Impl;
  explicit Transfer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Owns one MPI communicator; move-only. Functions named collective must be called by all its ranks.
// Ranks are those of this communicator. Functions that take a tag match messages of that tag alone.
class Communicator {
 public:
  static constexpr int kAnySource = -1;
  static constexpr size_t kMaxBytes = 0x7fffffff;  // of one message: MPI counts in int

  static Communicator world();                   // collective: a duplicate of MPI_COMM_WORLD
  Communicator duplicate() const;                // collective
  Communicator split(int color, int key) const;  // collective: those of one colour, ordered by key
  Communicator split_by_node() const;            // collective: those that share memory

  Communicator(Communicator&&) noexcept;
  Communicator& operator=(Communicator&&) noexcept;
  ~Communicator();

  // Shown by MPI's tools and by the tests' witness: "lane 0".
  void set_name(const std::string& name);

  int rank() const;
  int size() const;

  // Returns when `bytes` may be reused.
  void send(std::string_view bytes, int to, int tag, const Deadline& deadline);
  // The next message, of any length, from one rank or kAnySource.
  Received receive(int from, int tag, const Deadline& deadline);
  // The next message if one is there. Threads may share the communicator.
  std::optional<Received> poll(int tag, int from = kAnySource);

  // The asynchronous forms. At most kMaxBytes; `owner` keeps the bytes alive.
  Transfer start_send(std::span<const std::byte> bytes, std::shared_ptr<const void> owner, int to,
                      int tag);
  Transfer start_receive(std::span<std::byte> bytes, std::shared_ptr<const void> owner, int from,
                         int tag);

  std::vector<std::string> all_gather(std::string_view bytes, const Deadline&);  // collective
  void barrier(const Deadline&);                                                 // collective

 private:
  struct Impl;
  explicit Communicator(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace kvcomm
