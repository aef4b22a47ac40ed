// KVComm: the sender shares the keys and values of a few layers.
//
//   sender                                receiver
//   read(C) ── kv of chosen layers ──▶    answer(Q | kv)
//
// In a chosen layer the receiver attends to [the sender's kv ; its own]; its tokens stand at |C|..
// in every layer (method.md, "Setting"). Random and Contiguous differ in who chooses the layers, in
// nothing else.
#include <algorithm>

#include "method/method.h"
#include "method/wire.h"

namespace kvcomm {

namespace {

class KvComm : public Method {
 public:
  explicit KvComm(std::span<const int> layers) : layers_(layers.begin(), layers.end()) {}

  std::vector<Step> script() const override { return {{Kind::kKv, layers_}}; }

  void send(Batch& batch, Channel& wire) const override {
    wire.offer(kv_header(batch, layers_));  // before the work: the receiver gets ready meanwhile
    const Observer put{.after_layer = [&](int64_t layer, const LayerKv& kv) {
      if (!std::ranges::binary_search(layers_, static_cast<int>(layer))) return;
      wire.put(kv.k);
      wire.put(kv.v);
    }};
    batch.context(put);
    wire.close(batch.context_times());
  }

  std::vector<Request> receive(Batch& batch, std::span<Channel* const> wires) const override {
    const auto contexts = receive_contexts(batch, wires);
    std::vector<Request> requests;
    for (size_t i = 0; i < batch.size(); ++i) {
      Request request{.prompt = batch.prompter().receiver(*batch.samples()[i])};
      int64_t context_tokens = 0;
      for (const auto& context : contexts) {
        request.past.push_back({context, static_cast<int>(i)});
        context_tokens += context->rows[i];
      }
      request.start = {.with_context = context_tokens, .without_context = context_tokens};
      requests.push_back(std::move(request));
    }
    return requests;
  }

 private:
  std::vector<int> layers_;
};

}  // namespace

std::unique_ptr<Method> make_kvcomm(std::span<const int> layers) {
  return std::make_unique<KvComm>(layers);
}

}  // namespace kvcomm
