// The numbers of a sample, a line each. Of a line come the member of SampleRow, the field in the
// journal, the column of /samples and, where it has a meaning there, the sum in /cells.
#pragma once

// COLUMN(type, name, units, meaning in /samples, meaning in /cells; nullptr: not there)
#define KVC_SAMPLE_COLUMNS(COLUMN)                                                                 \
  COLUMN(uint64_t, context_tokens, "tokens", "the senders' templated prompts", "sum over samples") \
  COLUMN(uint64_t, prompt_tokens, "tokens", "the receiver's templated prompt", "sum over samples") \
  COLUMN(uint64_t, output_tokens, "tokens", "tokens generated for the answer", "sum over samples") \
  COLUMN(uint64_t, layers_sent, "1", "layers whose whole context was sent", nullptr)               \
  COLUMN(uint64_t, payload_bytes, "B", "all bytes sent, without headers",                          \
         "all bytes sent, without headers")                                                        \
  COLUMN(uint64_t, header_bytes, "B", "bytes of headers and trailers",                             \
         "bytes of headers and trailers")                                                          \
  COLUMN(uint64_t, kv_bytes, "B", "payload that is keys and values",                               \
         "payload that is keys and values")                                                        \
  COLUMN(uint64_t, token_bytes, "B", "payload that is tokens", "payload that is tokens")           \
  COLUMN(uint64_t, vector_bytes, "B", "payload that is input vectors",                             \
         "payload that is input vectors")                                                          \
  COLUMN(uint64_t, hidden_bytes, "B", "payload that is hidden states",                             \
         "payload that is hidden states")                                                          \
  COLUMN(double, sender_prefill_s, "s",                                                            \
         "the sender reads its context, as this method alone needs it: methods that shared one "   \
         "reading count it each (what ran: /ranks)",                                               \
         "sum over samples of what this method alone needs; cells that shared a reading count it " \
         "each (what ran: /ranks)")                                                                \
  COLUMN(double, sender_decode_s, "s", "the sender generates what it sends", "sum over samples")   \
  COLUMN(double, wire_exposed_s, "s", "from the end of that work to the last send's completion",   \
         "sum over samples")                                                                       \
  COLUMN(double, wire_hidden_s, "s", "send time before that", "sum over samples")                  \
  COLUMN(double, receiver_prefill_s, "s", "the answering end reads its prompts",                   \
         "sum over samples")                                                                       \
  COLUMN(double, decode_s, "s", "the answering end generates", "sum over samples")
