#include "plan/checks.h"

#include <set>

#include "base/error.h"

namespace kvcomm {

namespace {

// One of the two models reads what the other's layers made: it must be of the same shape.
void require_same_shape(const ModelConfig& s, const ModelConfig& r) {
  const auto require_equal = [](const char* what, int64_t sender, int64_t receiver) {
    if (sender == receiver) return;
    fail(Exit::kUsage,
         "the sender has {} {}, the receiver {}. Keys, values and vectors can only be shared "
         "between models of the same shape: choose two fine-tunes of one base, or leave the "
         "method or the pair out.",
         sender, what, receiver);
  };
  require_equal("layers", s.layers, r.layers);
  require_equal("KV heads", s.kv_heads, r.kv_heads);
  require_equal("entries a head", s.head_dim, r.head_dim);
}

void require_same_width(const ModelConfig& s, const ModelConfig& r) {
  const int64_t sender = s.hidden, receiver = r.hidden;
  if (sender == receiver) return;
  fail(Exit::kUsage,
       "the sender's hidden states have {} entries, the receiver's {}: vectors can only be handed "
       "over between models of the same width. Leave the method or the pair out.",
       sender, receiver);
}

void require_rows(const PlannedPair& pair, const char* end, const ModelConfig& config) {
  if (config.vocab >= pair.token_ids) return;
  fail(
      Exit::kUsage,
      "the receiver's tokenizer, used at both ends, has {} ids (the last is that of '{}'), and the "
      "{}'s embedding table only {} rows.",
      pair.token_ids, pair.last_token, end, config.vocab);
}

// Models that read the receiver's ids must have rows for them; and where the sender's model
// answers in them, they must be the same tokens to it.
void check_ids(const Profile& profile, const PlannedPair& pair) {
  if (profile.receiver_reads()) require_rows(pair, "receiver", pair.receiver.config);
  if (!profile.sender_reads()) return;
  for (const PlannedModel& sender : pair.senders) require_rows(pair, "sender", sender.config);
  const bool answers = profile.answers_at == End::kSender;
  const bool refused = profile.sends_words || (answers && !pair.ids_warning.empty());
  if (!refused || pair.ids_doubt.empty()) return;
  fail(Exit::kUsage,
       "the sender's model would be asked, and would answer, in ids of the receiver's tokenizer, "
       "and {}. Leave the method or the pair out, or take a sender of the receiver's vocabulary.",
       pair.ids_doubt);
}

void require_eos(const PlannedPair& pair) {
  if (pair.eos_known || !pair.has_text()) return;
  fail(Exit::kUsage,
       "generating vectors ends at the tokenizer's eos token, and tokenizer_config.json in '{}' "
       "names {}: name one of tokenizer.json's there as eos_token.",
       pair.receiver.folder.string(),
       pair.eos_token.empty() ? "none" : "'" + pair.eos_token + "', which it does not have");
}

void require_one_sender(const PlannedPair& pair) {
  if (pair.senders.size() == 1) return;
  fail(Exit::kUsage,
       "it can use one sender alone, and the pair has {}. Leave the method or the pair out, or "
       "give the pair one sender.",
       pair.senders.size());
}

}  // namespace

void check_method(const MethodSpec& spec, const PlannedPair& pair, const Fidelity& fidelity) {
  const Profile profile = profile_of(spec, fidelity);
  check_ids(profile, pair);
  if (profile.one_sender || profile.answers_at == End::kSender) require_one_sender(pair);
  const auto check = type_of(spec).check;
  const ModelConfig& receiver = pair.receiver.config;
  for (const PlannedModel& sender : pair.senders) {
    if (profile.needs_equal_shapes) require_same_shape(sender.config, receiver);
    if (profile.needs_equal_widths) require_same_width(sender.config, receiver);
    if (check != nullptr) check(spec, sender.config, receiver, fidelity);
  }
  if (profile.needs_eos) require_eos(pair);
}

void check_dataset(const MethodSpec& spec, const PlannedPair& pair, const DatasetInfo& info,
                   const Fidelity& fidelity) {
  if (!profile_of(spec, fidelity).answers_letters) return;
  if (info.kind != "choice") {
    fail(Exit::kUsage,
         "answer = \"letter\" chooses among A, B, C and D, and the questions of '{}' do not offer "
         "them (its prompts are of kind '{}', not 'choice'): set answer = \"text\".",
         info.name, info.kind);
  }
  if (!pair.letters_doubt.empty()) fail(Exit::kUsage, "{}", pair.letters_doubt);
}

void require_equal_senders(const Config& config) {
  const PairConfig& first = config.pairs.front();
  for (const PairConfig& pair : config.pairs) {
    if (pair.senders.size() == first.senders.size()) continue;
    fail(Exit::kUsage,
         "Pair '{}' has {} senders, pair '{}' has {}: a sweep's lanes have one number of senders. "
         "Put them into sweeps of their own, or choose one with --pair.",
         first.name, first.senders.size(), pair.name, pair.senders.size());
  }
}

void require_thought_ends(const Plan& plan) {
  std::set<std::pair<size_t, size_t>> seen;  // pair, data set
  for (const Cell& cell : plan.cells) {
    const PairConfig& named = plan.config.pairs[cell.pair];
    const Dataset& dataset = plan.datasets[cell.dataset];
    if (named.think_end.empty() || !plan.pairs[cell.pair].has_text()) continue;
    if (!seen.emplace(cell.pair, cell.dataset).second) continue;
    const PromptBuilder prompts = make_prompt_builder(
        plan.config, named, dataset.info, load_text(plan.pairs[cell.pair].receiver.folder));
    std::set<std::string> parts;  // of a mix, whose prompts differ
    for (const Sample& sample : dataset.samples) {
      if (!parts.insert(sample.dataset).second) continue;
      try {
        prompts.require_thought_ends(sample);
      } catch (const Error& error) {
        fail(error.exit(), "Pair '{}' on {}: {}", named.name, dataset.info.name, error.what());
      }
    }
  }
}

}  // namespace kvcomm
