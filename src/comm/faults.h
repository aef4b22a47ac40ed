// Faults on demand (`kvcomm run --inject`, docs/cluster.md), so that a site can see what a run does
// when wires, processes and disks fail. Counts and a seed alone decide what a rule strikes, so that
// a run of the same work can be repeated.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "comm/faulty.h"
#include "comm/send_end.h"

namespace kvcomm {

// Moments of a rank's work: between two layers of a sender's reading, and before a receiver reads;
// when tensors that go together were handed on, and when a message begins to arrive; between two
// steps of generation; at a line of the journal.
enum class Phase { kPrefill, kTransfer, kDecode, kWriting };

// The rules that apply to one rank. What happens in phase kWriting may come from another thread
// than the rest.
class Faults {
 public:
  Faults();  // none
  // Fails (kUsage) at what is no rule, with the near miss.
  Faults(std::span<const std::string> rules, int rank, int ranks);
  ~Faults();
  Faults(Faults&&) noexcept;
  Faults& operator=(Faults&&) noexcept;

  // The rank has come to such a moment: here it is killed, is stopped, or fails (kEnvironment).
  void at(Phase phase);

  // The transport with what goes wrong on it; itself where nothing does. The faults outlive it.
  std::unique_ptr<Transport> around(std::unique_ptr<Transport> transport);

  // What a model has made of tensors that leave by a pipe: what `substitute` gives, not a number in
  // some place. Sums are made of it.
  Substitute spoiling(Substitute substitute);

  // As write_fully, with a moment of kWriting in the middle of the line.
  int write(int fd, std::string_view line);

 private:
  struct Rule;
  class Reader;

  std::vector<at::Tensor> on_payload(const Header& header, size_t first,
                                     std::vector<at::Tensor> tensors);
  std::optional<std::string> on_note(ControlMessage note, std::string bytes);

  std::vector<Rule> rules_;
};

}  // namespace kvcomm
