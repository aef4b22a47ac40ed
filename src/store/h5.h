// Tables as an HDF5 file, and back. The only part of the program that speaks HDF5 (its C API).
#pragma once

#include <filesystem>
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

struct H5Content {
  Attributes attributes;
  std::vector<Table> tables;  // in the order of their names
};

// What reading the file of h5_image would give back: sorted by name, in texts U+FFFD for NUL.
H5Content as_stored(H5Content content);

// What h5_image wrote into a file. Fails (kUsage) where the file cannot be read or holds anything
// that h5_image does not write. Not to be called by two threads at once.
H5Content read_h5(const std::filesystem::path& path);

// A text at a file's root; "" where there is none, or no HDF5 file that can be read. Not to be
// called by two threads at once.
std::string h5_attribute(const std::filesystem::path& path, const std::string& name);

// "1.10.8"
std::string h5_version();

}  // namespace kvcomm
