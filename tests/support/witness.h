// An outside witness of what goes over MPI: it stands between a program and the MPI library
// (profiling interface) and counts what is really sent, per communicator and tag.
//
//  - linked into a test (target kvc_witness_objects): witness_counts();
//  - in front of any MPI program (target kvc_witness, a shared library):
//      KVCOMM_WITNESS=/tmp/w.jsonl LD_PRELOAD=.../libkvc_witness.so kvcomm run ...
//    each rank adds a line per communicator and tag at MPI_Finalize:
//      {"rank":0,"communicator":"lane 0","tag":4,"messages":60,"bytes":123456}
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

namespace kvcomm::testing {

struct Sent {
  uint64_t messages = 0, bytes = 0;
};

// By (communicator's name, tag), of this rank, since the program's start.
std::map<std::pair<std::string, int>, Sent> witness_counts();

// The bytes of all tags.
uint64_t witness_bytes(const std::string& communicator);

}  // namespace kvcomm::testing
