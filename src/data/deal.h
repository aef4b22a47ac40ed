// A sample's texts as the contexts of one or several senders.
#pragma once

#include "data/dataset.h"

namespace kvcomm {

// What can be dealt to several senders.
enum class Dealt {
  kNothing,    // the context stays whole: one sender alone
  kTexts,      // each text, joined by line ends
  kSentences,  // of one text, joined by blanks
  kPassages,   // "Passage 1:" ... of one text, each sender's with what precedes the first of them
};

// Puts the sample's texts, its contexts, in runs: sender i of S gets those from n i / S on, rounded
// down. False where there are fewer than senders, or no passage at all.
bool deal(Sample& sample, size_t senders, Dealt dealt);

}  // namespace kvcomm
