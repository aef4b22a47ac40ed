// HDF5's ids and results in C++, for the files of this folder that speak HDF5.
#pragma once

#include <hdf5.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace kvcomm::h5 {

// HDF5's innermost message (the cause) and outermost one (the call), from its error stack.
inline std::string hdf5_message() {
  std::vector<std::string> lines;
  const auto take = [](unsigned, const H5E_error2_t* error, void* into) -> herr_t {
    static_cast<std::vector<std::string>*>(into)->emplace_back(error->desc);
    return 0;
  };
  if (H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take, &lines) < 0 || lines.empty()) {
    return "HDF5 gives no reason";
  }
  return lines.size() == 1 ? lines.front() : lines.front() + "; " + lines.back();
}

// Every result of HDF5 passes through here: negative means failure.
template <typename Result>
Result check(Result result, std::string_view doing) {
  if (result >= 0) return result;
  fail(Exit::kInternal, "HDF5 failed ({}): {}.", doing, hdf5_message());
}

// Its errors are ours to tell.
inline void silence_hdf5() {
  check(H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr), "silencing HDF5's own printing");
}

// Owns an HDF5 id.
template <herr_t (*Close)(hid_t)>
class H5Handle {
 public:
  H5Handle(hid_t id, std::string_view doing) : id_(check(id, doing)) {}
  H5Handle(H5Handle&& other) noexcept : id_(std::exchange(other.id_, H5I_INVALID_HID)) {}
  H5Handle& operator=(H5Handle&&) = delete;
  ~H5Handle() {
    if (id_ >= 0) Close(id_);
  }
  hid_t get() const { return id_; }

 private:
  hid_t id_;
};

using File = H5Handle<&H5Fclose>;
using Dataset = H5Handle<&H5Dclose>;
using Space = H5Handle<&H5Sclose>;
using Type = H5Handle<&H5Tclose>;
using Properties = H5Handle<&H5Pclose>;
using Attribute = H5Handle<&H5Aclose>;

}  // namespace kvcomm::h5
