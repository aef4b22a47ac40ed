// Tables as an HDF5 file. The only part of the program that speaks HDF5 (its C API).
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "store/schema.h"

namespace kvcomm {

using Attributes = std::vector<std::pair<std::string, std::string>>;

// The bytes of an HDF5 file with the attributes at its root and the tables as compound datasets:
// chunked, gzip 4 with shuffle where they have rows. Built in memory, so that a full disk, a file
// lock or a kill can break nothing halfway; equal tables give equal bytes. Fails (kInternal) with
// HDF5's own message. Not to be called by two threads at once.
std::string h5_image(const Attributes& attributes, const std::vector<Table>& tables);

// "1.10.8"
std::string h5_version();

}  // namespace kvcomm
