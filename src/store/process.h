// Which process this is, in a form that another process can judge: is its owner still alive?
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace kvcomm {

struct ProcessId {
  std::string host;
  std::string scope;  // what pid counts in: this boot of the machine and its process namespace
  long pid = 0;
  std::string start;  // in clock ticks since boot; tells a process from a later one of the same pid
};

ProcessId this_process();

// True only where it is certain: the process was of this very scope and runs no more.
bool is_gone(const ProcessId& process);

std::string host_name();

// The memory that this process has, and the most that it has had so far, in bytes.
uint64_t resident_memory();
uint64_t peak_memory();

// A text as a file name: letters, digits, '.', '_' and '-' as they are, other bytes as %XX,
// over-long ones cut and made distinct by their hash. Different texts give different names.
std::string file_name_for(std::string_view text);

}  // namespace kvcomm
