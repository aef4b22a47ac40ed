#include "ops/check.h"

#include <c10/util/StringUtil.h>

#include "base/error.h"

namespace kvcomm::ops {

void require(const at::Tensor& t, at::IntArrayRef sizes, at::ScalarType model, const char* name) {
  const bool known = model == at::kFloat || model == at::kBFloat16;
  if (known && t.scalar_type() == model && t.sizes() == sizes && t.is_contiguous()) return;
  fail(Exit::kInternal, "{} must be contiguous, {} of {} (float32 or bfloat16), and is {} of {}.",
       name, c10::str(sizes), c10::toString(model), c10::str(t.sizes()),
       c10::toString(t.scalar_type()));
}

}  // namespace kvcomm::ops
