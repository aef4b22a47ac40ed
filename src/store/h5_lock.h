// Whether HDF5 can lock files where results lie. This program reads and replaces them without
// locks; h5py and other readers take them unless they are told otherwise.
#pragma once

#include <filesystem>
#include <string>

namespace kvcomm {

// Opens an HDF5 file as such a reader does: HDF5's reason where it cannot be locked, else "". Not
// to be called while another thread uses HDF5.
std::string h5_lock_complaint(const std::filesystem::path& file);

}  // namespace kvcomm
