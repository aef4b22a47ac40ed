// The table of methods, a line each, in the documentation's order. `MethodType NAME_type()` stands
// in the file of its name; what the program cannot run does not stand here and is refused.
#include "method/control.h"
#include "method/type.h"

#define KVC_METHODS(METHOD) \
  METHOD(baseline)          \
  METHOD(skyline)           \
  METHOD(kvcomm)            \
  METHOD(kvcomm_s)          \
  METHOD(random)            \
  METHOD(contiguous)        \
  METHOD(ac)                \
  METHOD(nld)               \
  METHOD(cipher)            \
  METHOD(hidden_prepend)    \
  METHOD(token_study)

namespace kvcomm {

#define KVC_DECLARE(name) MethodType name##_type();
KVC_METHODS(KVC_DECLARE)

const std::vector<MethodType>& methods() {
#define KVC_CALL(name) with_controls(name##_type()),
  static const std::vector<MethodType> all{KVC_METHODS(KVC_CALL)};
  return all;
}

}  // namespace kvcomm
