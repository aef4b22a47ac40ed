// AC, activation communication: the sender's last activation goes into the receiver's last token.
//
//   sender                                            receiver
//   read(C) below layer k ── its last token's x ──▶   answer(Q), where at the input of layer j
//                                                     x[last] = f(x[last], the sender's)
//
// At prefill alone; nothing else is shared, and the receiver's tokens start at 0 (method.md,
// "Methods compared"; official_behaviour.md, "AC").
#include <ATen/ATen.h>

#include "method/method.h"
#include "method/wire.h"

namespace kvcomm {

namespace {

class Ac : public Method {
 public:
  explicit Ac(AcOptions options) : options_(std::move(options)) {}

  std::vector<ScriptMessage> script() const override {
    return {{Kind::kHidden, {static_cast<int>(options_.k)}}};
  }

  void send(Batch& batch, Channel& wire) const override {
    wire.offer(rows_header(batch, {.kind = Kind::kHidden,
                                   .layer = static_cast<int>(options_.k),
                                   .rows = std::vector<int64_t>(batch.size(), 1),
                                   .context_tokens = batch.context_tokens()}));
    const Batch::Hidden& hidden = batch.hidden(options_.k);
    wire.put(hidden.last);
    wire.close(hidden.times);
  }

  std::vector<Request> receive(Batch& batch, std::span<Channel* const> wires) const override {
    const auto hidden = receive_rows(batch, Kind::kHidden, wires);
    std::vector<Request> requests;
    for (size_t i = 0; i < batch.size(); ++i) {
      requests.push_back({.prompt = {batch.prompter().receiver(batch.sample(i))},
                          .edit = Edit{options_.j, graft(hidden.front()[i])}});
    }
    return requests;
  }

 private:
  // x[last] = f(x[last], theirs); theirs [1, hidden].
  std::function<void(at::Tensor&)> graft(const at::Tensor& theirs) const {
    return [f = options_.f, theirs](at::Tensor& x) {
      at::Tensor last = x.narrow(0, x.size(0) - 1, 1);
      if (f == "replace") {
        last.copy_(theirs);
      } else if (f == "sum") {
        last.add_(theirs);
      } else {
        last.add_(theirs).mul_(0.5);
      }
    };
  }

  AcOptions options_;
};

}  // namespace

std::unique_ptr<Method> make_ac(AcOptions options) {
  return std::make_unique<Ac>(std::move(options));
}

}  // namespace kvcomm
