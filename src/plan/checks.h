// What methods ask of a pair and of each other, refused before any model is loaded.
#pragma once

#include "plan/plan.h"

namespace kvcomm {

// All fail (kUsage) with the sentence.

// A pair's models and its tokenizer must fit what the method does with them.
void check_method(const MethodSpec& spec, const PlannedPair& pair, const Fidelity& fidelity);

// As must the data set, whose questions may have to offer letters.
void check_dataset(const MethodSpec& spec, const PlannedPair& pair, const DatasetInfo& info,
                   const Fidelity& fidelity);

// Lanes are made once for the whole sweep: each pair has as many senders.
void require_equal_senders(const Config& config);

// What ends a thought must be the same tokens in each data set's prompts.
void require_thought_ends(const Plan& plan);

}  // namespace kvcomm
