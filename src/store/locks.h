// Locks on pairs, so that several runs may share an output folder without doing work twice. They
// are a courtesy, never correctness: two owners of a pair cost time only (see completed.h's rule).
//
// <output>/locks/<pair> holds its owner as JSON (host, pid, job id) and is touched every
// kTouchEvery_s by it. A lock is stale when its process is gone on this host, or when the file did
// not change for kStaleAfter_s of the reader's own clock; the clocks of two hosts are never
// compared.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "store/process.h"

namespace kvcomm {

inline constexpr Seconds kTouchEvery_s = 10;
inline constexpr Seconds kStaleAfter_s = 60;

// A pair that is ours until this is destroyed.
class PairLock {
 public:
  PairLock(PairLock&& other) noexcept;
  PairLock& operator=(PairLock&& other) noexcept;
  ~PairLock();

  const std::string& pair() const { return pair_; }

  // Says that the owner lives. False: another run has taken the pair over, or the file is gone.
  bool touch();

 private:
  friend class PairLocks;
  PairLock(std::string pair, std::filesystem::path path, int fd);
  bool is_ours() const;
  void release() noexcept;

  std::string pair_;
  std::filesystem::path path_;
  int fd_ = -1;
};

class PairLocks {
 public:
  // The clock can be replaced by a test. Creates <output>/locks.
  explicit PairLocks(const std::filesystem::path& output, std::function<Seconds()> clock = now_s);

  // The pair, or nothing where a live owner has it; then owner(pair) is for the sentence. Asking
  // again later is how a lock of another host is found stale: the first look only notes its state.
  // Fails (kEnvironment) where the folder cannot be written to.
  std::optional<PairLock> try_claim(const std::string& pair);

  // "host node7, process 1234, job 88" of the last look at a pair that another has; "" before one.
  std::string owner(const std::string& pair) const;

 private:
  struct Look {
    std::string state;  // content and time of change
    Seconds since_s = 0;
    std::string owner;
  };
  // A new lock, or nothing where there is one by now.
  std::optional<PairLock> create(const std::string& pair, const std::filesystem::path& path);
  std::optional<PairLock> create_in_place(const std::string& pair,
                                          const std::filesystem::path& path);
  bool is_stale(const std::string& pair, const std::string& content, const std::string& state);
  bool take_over(const std::string& pair, const std::string& content);

  std::filesystem::path folder_;
  std::function<Seconds()> clock_;
  std::map<std::string, Look> looks_;
};

// A lock as one sees it who only looks.
struct LockSeen {
  std::string file;         // file_name_for(pair)
  ProcessId process;        // its owner; without a pid: not written yet
  std::string owner;        // in words
  bool gone = false;        // its owner has certainly ended
  Seconds untouched_s = 0;  // by this machine's clock, which another host's may differ from
};

// All locks of an output folder, by name. Writes nothing.
std::vector<LockSeen> see_locks(const std::filesystem::path& output);

}  // namespace kvcomm
