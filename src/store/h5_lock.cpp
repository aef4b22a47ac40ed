#include "store/h5_lock.h"

#include "store/h5_handle.h"

namespace kvcomm {

using namespace h5;

std::string h5_lock_complaint(const std::filesystem::path& file) {
  try {
    silence_hdf5();
    const Properties access(H5Pcreate(H5P_FILE_ACCESS), "the file's access");
    check(H5Pset_file_locking(access.get(), /*use_file_locking=*/true,
                              /*ignore_when_disabled=*/false),
          "asking for locks");
    const File locked(H5Fopen(file.c_str(), H5F_ACC_RDWR, access.get()), "opening with a lock");
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace kvcomm
