#include "ops/weighted_sum.h"

#include <ATen/ATen.h>

#include "ops/check.h"

namespace kvcomm::ops {

at::Tensor weighted_sum(const at::Tensor& weights, const at::Tensor& table) {
  const auto type = table.scalar_type();
  require(table, {table.size(0), table.size(-1)}, type, "A table of rows to be summed");
  require(weights, {weights.size(0), table.size(0)}, type, "The weights of a table's rows");
  at::Tensor out = at::empty({weights.size(0), table.size(1)}, table.options());
  table.is_cpu() ? cpu::weighted_sum(weights, table, out)
                 : reference::weighted_sum(weights, table, out);
  return out;
}

}  // namespace kvcomm::ops
