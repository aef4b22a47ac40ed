#include "method/alone.h"

namespace kvcomm {

Parameter answering_model() {
  return {.name = "model",
          .type = ParameterType::kText,
          .default_value = "receiver",
          .meaning = "which end's model answers",
          .choices = {"receiver", "sender"}};
}

End answering_end(const MethodSpec& spec) {
  return spec.resolved.at("model") == "sender" ? End::kSender : End::kReceiver;
}

}  // namespace kvcomm
