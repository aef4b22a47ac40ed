// What the paper's text and the authors' release do differently, as one struct of named values,
// read in select/ and method/ alone (sources: reference method.md and official_behaviour.md). All
// else is common.
#pragma once

#include <array>
#include <string>

namespace kvcomm {

// ceil(r L - 1e-9) | floor(r L)
enum class LayerRounding { kCeil, kFloor };
// Centred at mu L, as it is | centred at mu (L - 1), then min-max normalised.
enum class PriorShape { kPlain, kNormalised };
// Causal | nothing hidden, but visible scores get +1.
enum class ImportanceMask { kCausal, kVisiblePlusOne };
// Causal | each layer sees the first columns of the full mask.
enum class UnselectedPrefill { kCausal, kFirstColumns };
// Greedy, generation_config.json's eos list, no penalty | as official_behaviour.md's point 10.
enum class GenerationSettings { kCommon, kPerMethod };

// What the configuration calls each choice, in the enumeration's order.
constexpr auto names_of(LayerRounding) { return std::array{"ceil", "floor"}; }
constexpr auto names_of(PriorShape) { return std::array{"plain", "normalised"}; }
constexpr auto names_of(ImportanceMask) { return std::array{"causal", "visible_plus_one"}; }
constexpr auto names_of(UnselectedPrefill) { return std::array{"causal", "first_columns"}; }
constexpr auto names_of(GenerationSettings) { return std::array{"common", "per_method"}; }

struct Fidelity {
  std::string name;           // in results: "paper", "release", "paper(sink_token=true)"
  LayerRounding layer_count;  // from a ratio to a number of layers
  bool keep_layer0;           // layer 0 is sent whole, chosen or not (applied by the methods)
  bool sink_token;            // unselected layers hold the context's first token
  int importance_from;        // the first context token that counts
  ImportanceMask importance_mask;
  PriorShape prior;
  UnselectedPrefill unselected_prefill;
  int shifted_start;  // KVComm-S: where own tokens start in unselected layers
  GenerationSettings generation;
  int phase1_tokens;          // NLD, CIPHER: default length of a first answer
  bool sender_aware;          // NLD, CIPHER: default; the sender is told of the other agent
  bool recalibration_scored;  // online calibration: the all-layers answer is scored as well
  bool tie_other_head;   // an lm_head of other values beside tied embeddings is dropped, not used
  bool clean_up_spaces;  // of what was said, where tokenizer_config.json asks for it

  // Whether some prompt's tokens see tokens behind them, so that it is read in one pass.
  bool looks_ahead() const {
    return importance_mask == ImportanceMask::kVisiblePlusOne ||
           unselected_prefill == UnselectedPrefill::kFirstColumns;
  }

  static Fidelity paper();
  static Fidelity release();
};

}  // namespace kvcomm
