// Controls: what is sent in a message's place, so that a score tells whether its content matters
// (reference: beyond.md, "Does the payload matter?"). Whatever the method, all else stays.
#pragma once

#include <cstdint>
#include <string>

#include "comm/send_end.h"
#include "method/type.h"

namespace kvcomm {

enum class Control {
  kNone,
  kDeranged,  // the message of another sample
  kZero,      // zeros
  kNoise      // normal numbers of each tensor's own mean and deviation
};

Control control_of(const MethodSpec& spec);

// The type with the parameters of its controls; one that sends nothing has none.
MethodType with_controls(MethodType type);

// What is wrong between those that were set, as a sentence with its cure; "" if nothing is.
std::string control_complaint(const nlohmann::ordered_json& set);

// Whose message goes in that of a sample under kDeranged, of so many in the evaluated order,
// whatever part of it a run takes: a cyclic shift by one, which leaves none its own.
constexpr uint32_t deranged(uint32_t sample, size_t samples) {
  return static_cast<uint32_t>((sample + size_t{1}) % samples);
}

// What goes in the place of each tensor that a sender puts; empty: itself.
Substitute substitute_of(const MethodSpec& spec, size_t sender);

}  // namespace kvcomm
