#include "data/deal.h"

#include <algorithm>
#include <span>

#include "base/text.h"

namespace kvcomm {

namespace {

// Texts that are put together with something between them, behind a head that each sender gets.
struct Texts {
  std::string head;
  std::vector<std::string> texts;
  const char* glue;
};

// A sentence ends where a full stop and a blank follow each other.
Texts sentences_of(const std::string& context) {
  Texts found{.head = "", .texts = {}, .glue = " "};
  for (size_t begin = 0; begin < context.size();) {
    const size_t end = context.find(". ", begin);
    const size_t length = end == std::string::npos ? context.size() - begin : end + 1 - begin;
    found.texts.push_back(context.substr(begin, length));
    begin += length + 1;
  }
  return found;
}

// Whether "Passage", blanks, digits and a colon stand there.
bool names_passage(std::string_view text) {
  constexpr std::string_view kWord = "Passage", kDigits = "0123456789";
  if (!text.starts_with(kWord)) return false;
  const size_t number = std::min(text.find_first_not_of(" \t\r\n\f\v", kWord.size()), text.size());
  const size_t end = std::min(text.find_first_not_of(kDigits, number), text.size());
  return number > kWord.size() && end > number && text.substr(end).starts_with(':');
}

// Names of passages cut inside a passage's text too (official_behaviour.md, 13).
Texts passages_of(const std::string& context) {
  std::vector<size_t> begins;
  for (size_t at = context.find('P'); at != std::string::npos; at = context.find('P', at + 1)) {
    if (names_passage(std::string_view(context).substr(at))) begins.push_back(at);
  }
  Texts found{.head = begins.empty() ? "" : context.substr(0, begins[0]), .texts = {}, .glue = ""};
  for (size_t i = 0; i < begins.size(); ++i) {
    const size_t end = i + 1 < begins.size() ? begins[i + 1] : context.size();
    found.texts.push_back(context.substr(begins[i], end - begins[i]));
  }
  return found;
}

}  // namespace

bool deal(Sample& sample, size_t senders, Dealt dealt) {
  std::string whole = join(sample.contexts, "\n");
  if (senders == 1) {
    sample.contexts = {std::move(whole)};
    return true;
  }
  const Texts texts = dealt == Dealt::kSentences  ? sentences_of(whole)
                      : dealt == Dealt::kPassages ? passages_of(whole)
                                                  : Texts{"", std::move(sample.contexts), "\n"};
  const size_t count = texts.texts.size();
  // Of one passage the first sender gets the head alone, as in the release.
  if (count < (dealt == Dealt::kPassages ? 1 : senders)) return false;
  sample.contexts.clear();
  for (size_t sender = 0; sender < senders; ++sender) {
    const size_t begin = count * sender / senders, end = count * (sender + 1) / senders;
    const std::span run = std::span(texts.texts).subspan(begin, end - begin);
    sample.contexts.push_back(texts.head + join({run.begin(), run.end()}, texts.glue));
  }
  sample.whole = std::move(whole);
  return true;
}

}  // namespace kvcomm
