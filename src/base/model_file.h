// Reading the files of a model's folder: what is wrong with one is the environment's fault.
#pragma once

#include "base/files.h"

namespace kvcomm {

// read_file(), failing with kEnvironment.
inline std::string read_model_file(const std::filesystem::path& path) {
  try {
    return read_file(path);
  } catch (const Error& unreadable) {
    throw Error(Exit::kEnvironment, unreadable.what(), unreadable.where());
  }
}

}  // namespace kvcomm
