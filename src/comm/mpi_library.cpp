#include "comm/mpi_library.h"

#include <mpi.h>

namespace kvcomm {

std::string mpi_library_name() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = {};
  int length = 0;
  if (MPI_Get_library_version(text, &length) != MPI_SUCCESS) return "an MPI without a name";
  const std::string name(text, static_cast<size_t>(length));
  return name.substr(0, name.find_first_of(",\n"));  // where and when it was built follows
}

}  // namespace kvcomm
