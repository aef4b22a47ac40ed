// What a process's tensors are for, and the most bytes that each sort took at once. libtorch's
// allocators report every tensor of a thread that has a MemoryWatch, on the CPU and on GPUs alike.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace kvcomm {

enum class MemoryUse : uint8_t { kActivations, kWeights, kKv };

// What the tensors that this thread makes meanwhile are for; where there is none, activations.
class MemoryScope {
 public:
  explicit MemoryScope(MemoryUse use);
  ~MemoryScope();
  MemoryScope(const MemoryScope&) = delete;
  MemoryScope& operator=(const MemoryScope&) = delete;

 private:
  MemoryUse before_;
};

// In bytes; the three need not have been at the same time.
struct MemoryPeaks {
  uint64_t weights = 0, kv = 0, activations = 0;
};

// Follows the tensors that its thread makes and frees.
class MemoryWatch {
 public:
  MemoryWatch();
  ~MemoryWatch();
  MemoryWatch(const MemoryWatch&) = delete;
  MemoryWatch& operator=(const MemoryWatch&) = delete;

  MemoryPeaks peaks() const;

  class Report;

 private:
  std::shared_ptr<Report> report_;
  Report* before_;  // the thread's, until this one is gone
};

// Memory that libtorch did not allocate, such as a mapped file's: counted by this thread's watch,
// if it has one, as `use` says, until it is given back. Each address once at a time.
void count_memory(const void* address, size_t bytes, MemoryUse use);
void give_back_memory(const void* address);

}  // namespace kvcomm
