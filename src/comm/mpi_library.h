// The MPI library that a process really runs on, which need not be the one it was built with.
#pragma once

#include <string>

namespace kvcomm {

// "Open MPI v4.1.4": what the library calls itself. May be asked before MPI is initialised.
std::string mpi_library_name();

}  // namespace kvcomm
