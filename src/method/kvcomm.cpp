// KVComm: the sender shares the keys and values of a few layers.
//
//   sender                                receiver
//   read(C) ── kv of chosen layers ──▶    answer(Q | kv)
//
// In a chosen layer the receiver attends to [the sender's kv ; its own]; its tokens stand at |C|..
// in every layer (method.md, "Setting"). Random and Contiguous differ in who chooses the layers, in
// nothing else; KVComm-S moves the receiver's tokens back to the start in layers that were not
// chosen. In the release's fidelity layer 0 always goes, and of layers not chosen the first token
// (official_behaviour.md, 2 and 3). Only then does KVComm-S differ from KVComm by more than
// rounding: rotary positions are relative, and where nothing precedes the receiver's tokens a shift
// of all of them changes no distance.
#include <algorithm>

#include "method/method.h"
#include "method/wire.h"

namespace kvcomm {

namespace {

class KvComm : public Method {
 public:
  explicit KvComm(Sharing sharing) : sharing_(std::move(sharing)) {}

  std::vector<ScriptMessage> script() const override {
    std::vector<int> layers;
    std::ranges::merge(sharing_.whole, sharing_.first_rows, std::back_inserter(layers));
    return {{Kind::kKv, std::move(layers)}};
  }

  void send(Batch& batch, Channel& wire) const override {
    // before the work: the receiver gets ready meanwhile
    wire.offer(kv_header(batch, sharing_.whole, sharing_.first_rows));
    const Observer put{.after_layer = [&](int64_t index, const LayerKv& kv) {
      const int layer = static_cast<int>(index);
      const bool first = std::ranges::binary_search(sharing_.first_rows, layer);
      if (!first && !std::ranges::binary_search(sharing_.whole, layer)) return;
      const LayerKv sent = first ? first_rows_of(kv, batch.context_ids()) : kv;
      wire.put(sent.k);
      wire.put(sent.v);
    }};
    batch.context(put);
    wire.close(batch.context_times());
  }

  std::vector<Request> receive(Batch& batch, std::span<Channel* const> wires) const override {
    const auto contexts = receive_contexts(batch, wires);
    std::vector<Request> requests;
    for (size_t i = 0; i < batch.size(); ++i) {
      Request request{.prompt = {batch.prompter().receiver(batch.sample(i))}};
      int64_t context_tokens = 0;
      for (const auto& context : contexts) {
        request.past.push_back({context, static_cast<int>(i)});
        context_tokens += context->tokens[i];
      }
      request.own = own_places(batch, context_tokens);
      requests.push_back(std::move(request));
    }
    return requests;
  }

 private:
  // Where the receiver's tokens stand in each layer, behind a context of so many.
  std::vector<OwnPlace> own_places(const Batch& batch, int64_t context_tokens) const {
    const Fidelity& fidelity = batch.fidelity();
    const OwnPlace behind{.start = context_tokens};
    OwnPlace unselected = behind;
    if (sharing_.shift_back) {
      unselected.start = fidelity.shifted_start;
    } else if (fidelity.unselected_prefill == UnselectedPrefill::kFirstColumns) {
      // Its mask has |C| + |Q| columns, of which such a layer reads the first: [first row ; own].
      const int64_t first_rows = sharing_.first_rows.empty() ? 0 : 1;
      unselected.lookahead = context_tokens - first_rows;
    }
    std::vector<OwnPlace> places(static_cast<size_t>(batch.agent().model->config().layers),
                                 unselected);
    for (const int layer : sharing_.whole) places[static_cast<size_t>(layer)] = behind;
    return places;
  }

  Sharing sharing_;
};

}  // namespace

std::unique_ptr<Method> make_kvcomm(Sharing sharing) {
  return std::make_unique<KvComm>(std::move(sharing));
}

}  // namespace kvcomm
