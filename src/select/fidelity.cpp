#include "select/fidelity.h"

namespace kvcomm {

Fidelity Fidelity::paper() {
  return {.name = "paper",
          .layer_count = LayerRounding::kCeil,
          .keep_layer0 = false,
          .sink_token = false,
          .importance_from = 0,
          .importance_mask = ImportanceMask::kCausal,
          .prior = PriorShape::kPlain,
          .unselected_prefill = UnselectedPrefill::kCausal,
          .shifted_start = 0,
          .generation = GenerationSettings::kCommon,
          .phase1_tokens = 256,
          .sender_aware = true,
          .recalibration_scored = false,
          .tie_other_head = false,
          .clean_up_spaces = false};
}

Fidelity Fidelity::release() {
  return {.name = "release",
          .layer_count = LayerRounding::kFloor,
          .keep_layer0 = true,
          .sink_token = true,
          .importance_from = 1,
          .importance_mask = ImportanceMask::kVisiblePlusOne,
          .prior = PriorShape::kNormalised,
          .unselected_prefill = UnselectedPrefill::kFirstColumns,
          .shifted_start = 1,
          .generation = GenerationSettings::kPerMethod,
          .phase1_tokens = 128,
          .sender_aware = false,
          .recalibration_scored = true,
          .tie_other_head = true,
          .clean_up_spaces = true};
}

}  // namespace kvcomm
