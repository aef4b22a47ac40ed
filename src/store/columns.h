// The numbers of a sample, a line each. Of a line come the member of SampleRow, the field in the
// journal, the column of /samples and, where it has a meaning there, the sum in /cells.
#pragma once

// COLUMN(type, name, units, meaning in /samples, meaning in /cells, what it is in lines of a
// journal that lack it; nullptr: not there)
#define KVC_SAMPLE_COLUMNS(COLUMN)                                                                 \
  COLUMN(uint64_t, context_tokens, "tokens", "the senders' templated prompts", "sum over samples", \
         0)                                                                                        \
  COLUMN(uint64_t, prompt_tokens, "tokens", "the receiver's templated prompt", "sum over samples", \
         0)                                                                                        \
  COLUMN(uint64_t, output_tokens, "tokens", "tokens generated for the answer", "sum over samples", \
         0)                                                                                        \
  COLUMN(uint64_t, sender_output_tokens, "tokens", "tokens or vectors that the senders generated", \
         "sum over samples", 0)                                                                    \
  COLUMN(uint64_t, receiver_input_tokens, "tokens",                                                \
         "all prompts that the answering end read, in a debate two", "sum over samples", 0)        \
  COLUMN(uint64_t, receiver_output_tokens, "tokens", "all tokens or vectors that it generated",    \
         "sum over samples", 0)                                                                    \
  COLUMN(uint64_t, layers_sent, "1", "layers whose whole context was sent", nullptr, 0)            \
  COLUMN(uint64_t, payload_bytes, "B", "all bytes sent, without headers",                          \
         "all bytes sent, without headers", 0)                                                     \
  COLUMN(uint64_t, header_bytes, "B", "bytes of headers and trailers",                             \
         "bytes of headers and trailers", 0)                                                       \
  COLUMN(uint64_t, kv_bytes, "B", "payload that is keys and values",                               \
         "payload that is keys and values", 0)                                                     \
  COLUMN(uint64_t, token_bytes, "B", "payload that is tokens", "payload that is tokens", 0)        \
  COLUMN(uint64_t, vector_bytes, "B", "payload that is input vectors",                             \
         "payload that is input vectors", 0)                                                       \
  COLUMN(uint64_t, hidden_bytes, "B", "payload that is hidden states",                             \
         "payload that is hidden states", 0)                                                       \
  COLUMN(double, sender_flops, "FLOP",                                                             \
         "of the senders' models, as this method alone needs them (what ran: /ranks)",             \
         "sum over samples", kNone)                                                                \
  COLUMN(double, receiver_flops, "FLOP", "of the answering end's model, likewise",                 \
         "sum over samples", kNone)                                                                \
  COLUMN(double, attention_flops, "FLOP", "the part of both that is attention, as full squares",   \
         "sum over samples", kNone)                                                                \
  COLUMN(double, sender_prefill_s, "s",                                                            \
         "the sender reads its context, as this method alone needs it: methods that shared "       \
         "one reading count it each (what ran: /ranks)",                                           \
         "sum over samples of what this method alone needs; cells that shared a reading count "    \
         "it each (what ran: /ranks)",                                                             \
         0)                                                                                        \
  COLUMN(double, sender_decode_s, "s", "the sender generates what it sends", "sum over samples",   \
         0)                                                                                        \
  COLUMN(double, wire_exposed_s, "s", "from the end of that work to the last send's completion",   \
         "sum over samples", 0)                                                                    \
  COLUMN(double, wire_hidden_s, "s", "send time before that", "sum over samples", 0)               \
  COLUMN(double, receiver_prefill_s, "s", "the answering end reads its prompts",                   \
         "sum over samples", 0)                                                                    \
  COLUMN(double, decode_s, "s", "the answering end generates", "sum over samples", 0)              \
  COLUMN(double, ttft_s, "s",                                                                      \
         "to the answer's first token: the later of what the senders give and the receiver's "     \
         "own first answer, then its last prompt",                                                 \
         "sum over samples", kNone)                                                                \
  COLUMN(double, sender_joules, "J",                                                               \
         "of the senders' device meanwhile, shared out by tokens; NaN: not told",                  \
         "sum over samples", kNone)                                                                \
  COLUMN(double, receiver_joules, "J", "of the answering end's device, likewise",                  \
         "sum over samples", kNone)
