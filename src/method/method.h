// A method: how two agents communicate. It says what crosses the wire and what the receiver is
// asked; the lane batches, decodes, times and scores.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "method/batch.h"
#include "method/sharing.h"
#include "method/spec.h"

namespace kvcomm {

// One message of a method's script, as the ledger's trace will show it.
struct ScriptMessage {
  Kind kind;
  std::vector<int> layers;  // kNoLayer where its tensors belong to none
};

class Method {
 public:
  virtual ~Method() = default;

  // The messages of one exchange, in order.
  virtual std::vector<ScriptMessage> script() const { return {}; }

  // The end whose model answers.
  virtual End answers_at() const { return End::kReceiver; }

  // The sender's part of an exchange: runs to its end without waiting for the answer.
  virtual void send(Batch& /*batch*/, Channel& /*wire*/) const {}

  // The answering end's part: one request a sample, its Decoding left to the lane. wires: one a
  // sender, empty where the script is. A sample that cannot be asked is noted in batch.arrivals.
  virtual std::vector<Request> receive(Batch& batch, std::span<Channel* const> wires) const = 0;
};

// The method of a cell. chosen: the layers that its policy chose, ascending, for methods that share
// some; model_layers: of the pair's models.
std::unique_ptr<Method> make_method(const MethodSpec& spec, std::span<const int> chosen,
                                    int64_t model_layers, const Fidelity& fidelity);

struct AcOptions {
  std::string f;  // "replace", "sum", "mean"
  int64_t k = 0;  // the sender's layer whose input goes
  int64_t j = 0;  // the receiver's layer whose input it changes
};

// The first answers of NLD and CIPHER.
struct DebateOptions {
  int64_t phase1_tokens = 0;
  bool sender_aware = false;
  double temperature = 1;  // CIPHER's
};

// ---- each method, defined in the file of its name
std::unique_ptr<Method> make_baseline(End model);
std::unique_ptr<Method> make_skyline(End model);
std::unique_ptr<Method> make_kvcomm(Sharing sharing);
std::unique_ptr<Method> make_ac(AcOptions options);
std::unique_ptr<Method> make_nld(DebateOptions options);
std::unique_ptr<Method> make_cipher(DebateOptions options);

}  // namespace kvcomm
