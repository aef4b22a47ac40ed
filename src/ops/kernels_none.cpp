// In place of the kernels where the build has no nvcc: libtorch's own, of which more are launched.
#include "ops/norm.h"
#include "ops/rotary.h"
#include "ops/swiglu.h"

namespace kvcomm::ops::cuda {

void add_rms_norm(at::Tensor& h, const at::Tensor& delta, const at::Tensor& weight, double eps,
                  at::Tensor& out) {
  reference::add_rms_norm(h, delta, weight, eps, out);
}

void rotate_and_store(at::Tensor& qkv, const RotaryStore& store) {
  reference::rotate_and_store(qkv, store);
}

void swiglu(const at::Tensor& gate_up, at::Tensor& out) { reference::swiglu(gate_up, out); }

}  // namespace kvcomm::ops::cuda
