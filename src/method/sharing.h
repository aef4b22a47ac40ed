// KVComm and its kin: methods that share the keys and values of some layers differ in who chooses
// these and where the receiver's tokens stand, in nothing else.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "method/type.h"

namespace kvcomm {

// What such a method sends of the model's layers.
struct Sharing {
  std::vector<int> full_layers;  // layers of which the whole context goes, ascending
  std::vector<int> first_rows;   // layers of which its first token goes (release), ascending
};
Sharing make_sharing(std::span<const int> chosen, int64_t model_layers, const Fidelity& fidelity);

// How many layers it sends whole, known from its parameters alone: a range where importance decides
// whether layer 0 is among the chosen.
struct LayersSent {
  int64_t least, most;

  std::string text() const;  // "15", "15 to 16"
};
// Fails as MethodType::choose does.
LayersSent layers_sent(const MethodSpec& spec, int64_t layers, const Fidelity& fidelity);

// Where the receiver's tokens stand in layers that were not chosen.
enum class Start {
  kBehind,  // behind the context, as in all others
  kShifted  // moved back (KVComm-S)
};

// What runs any of them.
std::unique_ptr<Method> make_kv_sharing(Sharing sharing, Start start);

// ---- the parts of their types
Parameter ratio_parameter();
Profile kv_profile(const MethodSpec& spec, Start start);
// Without name, summary, parameters and choose; of Start::kBehind.
MethodType kv_type();

}  // namespace kvcomm
