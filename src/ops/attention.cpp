#include "ops/attention.h"

namespace kvcomm::ops {

at::Tensor attention(const at::Tensor& q, const LayerKv& kv, const Ranges& ranges) {
  return q.is_cpu() ? cpu::attention(q, kv, ranges) : cuda::attention(q, kv, ranges);
}

}  // namespace kvcomm::ops
