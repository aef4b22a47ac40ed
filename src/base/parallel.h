// The same work on many things, side by side.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <functional>
#include <thread>
#include <vector>

namespace kvcomm {

// Calls work(i) for each i of [from, to) on up to so many threads, the caller's among them. Throws
// what a call threw once all threads have ended; further calls are left out then.
template <typename Work>
void in_parallel(size_t from, size_t to, size_t threads, const Work& work) {
  std::atomic<size_t> next = from;
  const auto take = [&](std::exception_ptr& failure) {
    try {
      for (size_t i = next++; i < to; i = next++) work(i);
    } catch (...) {  // rethrown below
      failure = std::current_exception();
      next = to;
    }
  };
  std::vector<std::exception_ptr> failures(std::max<size_t>(1, threads));
  {
    std::vector<std::jthread> others;
    for (size_t i = 1; i < std::min(failures.size(), to - from); ++i) {
      others.emplace_back(take, std::ref(failures[i]));
    }
    take(failures[0]);
  }
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

}  // namespace kvcomm
