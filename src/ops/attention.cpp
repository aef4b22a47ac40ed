#include "ops/attention.h"

namespace kvcomm::ops {

at::Tensor attention(const at::Tensor& q, const LayerKv& kv, const Ranges& ranges,
                     const at::Tensor& memory) {
  return q.is_cpu() ? cpu::attention(q, kv, ranges, memory) : cuda::attention(q, kv, ranges);
}

}  // namespace kvcomm::ops
