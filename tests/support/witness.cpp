#include "tests/support/witness.h"

#include <fcntl.h>
#include <mpi.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>

namespace kvcomm::testing {
namespace {

struct Counts {
  std::mutex mutex;
  std::map<std::pair<std::string, int>, Sent> by_place;
};

Counts& counts() {
  static Counts all;
  return all;
}

void count(int elements, MPI_Datatype type, int tag, MPI_Comm comm) {
  char name[MPI_MAX_OBJECT_NAME] = "";
  int length = 0, size = 0;
  PMPI_Comm_get_name(comm, name, &length);
  PMPI_Type_size(type, &size);
  const std::scoped_lock lock(counts().mutex);
  Sent& sent = counts().by_place[{name, tag}];
  sent.messages += 1;
  sent.bytes += static_cast<uint64_t>(elements) * static_cast<uint64_t>(size);
}

// Each line is one write() at the file's end, so that ranks do not tear each other's.
void write_report(const char* path) {
  int rank = 0;
  PMPI_Comm_rank(MPI_COMM_WORLD, &rank);
  const int file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
  for (const auto& [place, sent] : witness_counts()) {
    const std::string line = "{\"rank\":" + std::to_string(rank) + ",\"communicator\":\"" +
                             place.first + "\",\"tag\":" + std::to_string(place.second) +
                             ",\"messages\":" + std::to_string(sent.messages) +
                             ",\"bytes\":" + std::to_string(sent.bytes) + "}\n";
    if (write(file, line.data(), line.size()) != static_cast<ssize_t>(line.size())) perror(path);
  }
  close(file);
}

}  // namespace

std::map<std::pair<std::string, int>, Sent> witness_counts() {
  const std::scoped_lock lock(counts().mutex);
  return counts().by_place;
}

uint64_t witness_bytes(const std::string& communicator) {
  uint64_t bytes = 0;
  for (const auto& [place, sent] : witness_counts()) {
    if (place.first == communicator) bytes += sent.bytes;
  }
  return bytes;
}

}  // namespace kvcomm::testing

extern "C" {

int MPI_Send(const void* data, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm) {
  kvcomm::testing::count(n, type, tag, comm);
  return PMPI_Send(data, n, type, to, tag, comm);
}

int MPI_Isend(const void* data, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm,
              MPI_Request* request) {
  kvcomm::testing::count(n, type, tag, comm);
  return PMPI_Isend(data, n, type, to, tag, comm, request);
}

int MPI_Finalize() {
  if (const char* path = std::getenv("KVCOMM_WITNESS")) kvcomm::testing::write_report(path);
  return PMPI_Finalize();
}

}  // extern "C"
