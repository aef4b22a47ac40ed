#include "base/error.h"
#include "ops/norm.h"
#include "ops/rotary.h"
#include "ops/swiglu.h"
#include "tests/ops/ops_fixture.h"

namespace kvcomm::ops {
namespace {

struct TokenOpsTest : testing::TestWithParam<at::ScalarType> {
  at::ScalarType type() const { return GetParam(); }
  // float32 sums and exponentials may differ by some roundings; in bfloat16 a result that lay
  // beside the middle between two values then falls to the other one, before and after the
  // multiplication.
  double tolerance() const { return type() == at::kFloat ? 1e-6 : 2 * kBFloat16Ulp; }
};
INSTANTIATE_TEST_SUITE_P(Types, TokenOpsTest, testing::Values(at::kFloat, at::kBFloat16));

// Almost all of bfloat16's results are the same bits.
void expect_mostly_equal(const at::Tensor& got, const at::Tensor& expected) {
  if (got.scalar_type() == at::kFloat) return;
  const int64_t different = (got != expected).sum().item<int64_t>();
  EXPECT_LE(different, got.numel() / 500);
}

TEST_P(TokenOpsTest, NormIsTheReferences) {
  at::manual_seed(2);
  for (const int64_t tokens : {0, 1, 3, 33}) {
    for (const int64_t hidden : {1, 5, 16, 37, 576, 2048}) {
      const at::Tensor x = random({tokens, hidden}, type()), weight = random({hidden}, type());
      at::Tensor h = x.clone(), expected = at::empty_like(x);
      reference::add_rms_norm(h, {}, weight, 1e-5, expected);
      const at::Tensor got = rms_norm(x, weight, 1e-5);
      expect_near(got, expected, tolerance());
      expect_mostly_equal(got, expected);
    }
  }
}

TEST_P(TokenOpsTest, NormAddsToTheResidual) {
  for (const int64_t tokens : {1, 7, 70}) {
    const at::Tensor before = random({tokens, 577}, type()), delta = random({tokens, 577}, type());
    const at::Tensor weight = random({577}, type());
    at::Tensor h = before.clone(), out = at::empty_like(h), h2 = before.clone();
    at::Tensor expected = at::empty_like(h);
    add_rms_norm_into(h, delta, weight, 1e-6, out);
    reference::add_rms_norm(h2, delta, weight, 1e-6, expected);
    expect_bitwise(h, h2);
    expect_near(out, expected, tolerance());
    expect_mostly_equal(out, expected);
  }
}

TEST_P(TokenOpsTest, NormOfOneOddRowAddsToTheResidual) {
  for (const int64_t hidden : {1, 15, 17, 31, 33}) {
    const at::Tensor before = random({1, hidden}, type()), delta = random({1, hidden}, type());
    const at::Tensor weight = random({hidden}, type());
    at::Tensor h = before.clone(), out = at::empty_like(h), h2 = before.clone();
    at::Tensor expected = at::empty_like(h);
    add_rms_norm_into(h, delta, weight, 1e-6, out);
    reference::add_rms_norm(h2, delta, weight, 1e-6, expected);
    expect_bitwise(h, h2);
    expect_near(out, expected, tolerance());
  }
}

TEST_P(TokenOpsTest, NormOfZerosIsZeros) {
  const at::Tensor zeros = at::zeros({2, 19}, at::TensorOptions().dtype(type()));
  expect_bitwise(rms_norm(zeros, random({19}, type()), 1e-5), zeros);
}

TEST_P(TokenOpsTest, NormDoesNotDependOnTheScale) {
  const at::Tensor x = random({4, 37}, type()), weight = random({37}, type());
  expect_near(rms_norm(x * 1024, weight, 0), rms_norm(x, weight, 0), tolerance());
}

TEST_P(TokenOpsTest, NormInPlaceAndNan) {
  at::Tensor x = random({3, 40}, type());
  x[1][39].fill_(kNan);
  const at::Tensor weight = random({40}, type()), expected = rms_norm(x, weight, 1e-5);
  EXPECT_EQ(expected.isnan().sum().item<int64_t>(), 40);
  rms_norm_into(x, weight, 1e-5, x);
  expect_bitwise(x.nan_to_num(), expected.nan_to_num());
}

at::Tensor swiglu(const at::Tensor& gate_up) {
  at::Tensor out = at::empty({gate_up.size(0), gate_up.size(1) / 2}, gate_up.options());
  swiglu_into(gate_up, out);
  return out;
}

TEST_P(TokenOpsTest, SwigluIsTheReferences) {
  for (const int64_t tokens : {0, 1, 3, 33}) {
    for (const int64_t n : {1, 5, 17, 1536}) {
      const at::Tensor gate_up = random({tokens, 2 * n}, type(), /*scale=*/4);
      at::Tensor expected = at::empty({tokens, n}, gate_up.options());
      reference::swiglu(gate_up, expected);
      const at::Tensor got = swiglu(gate_up);
      expect_near(got, expected, tolerance());
      expect_mostly_equal(got, expected);
    }
  }
}

TEST_P(TokenOpsTest, SwigluAtTheEndsOfTheRange) {
  const std::vector<float> gates = {0,     -0.0F, 1e-30F, 20,   87,     100,
                                    1e30F, -20,   -87,    -100, -1e30F, kNan};
  const auto n = static_cast<int64_t>(gates.size());
  const at::Tensor gate = at::tensor(gates).to(type());
  const at::Tensor got = swiglu(at::cat({gate, at::ones_like(gate)}).view({1, 2 * n}))[0];
  EXPECT_TRUE(got[n - 1].isnan().item<bool>());
  expect_near(got.narrow(0, 0, n - 1), at::silu(gate.to(at::kDouble)).narrow(0, 0, n - 1),
              tolerance(), 1e-36);
}

struct RotaryCase {
  at::Tensor qkv;
  RotaryStore store;

  RotaryCase(int64_t tokens, int64_t heads, int64_t kv_heads, int64_t head_dim,
             at::ScalarType type) {
    const at::Tensor angle = at::randn({tokens, head_dim / 2}) * 100;
    qkv = random({tokens, heads + 2 * kv_heads, head_dim}, type);
    store = {.cos = angle.cos().to(type),
             .sin = angle.sin().to(type),
             .row_of_token = at::randperm(tokens + 5, at::kLong).narrow(0, 0, tokens).clone(),
             .k = at::zeros({tokens + 5, kv_heads, head_dim}, qkv.options()),
             .v = at::zeros({tokens + 5, kv_heads, head_dim}, qkv.options())};
  }
  RotaryCase copy() const {
    RotaryCase other = *this;
    other.qkv = qkv.clone();
    other.store.k = store.k.clone();
    other.store.v = store.v.clone();
    return other;
  }
};

TEST_P(TokenOpsTest, RotaryIsTheReferencesToTheBit) {
  at::manual_seed(3);
  for (const int64_t tokens : {0, 1, 9, 60}) {
    for (const int64_t head_dim : {2, 6, 64, 128}) {
      RotaryCase got(tokens, 9, 3, head_dim, type());
      RotaryCase expected = got.copy();
      rotate_and_store(got.qkv, got.store);
      reference::rotate_and_store(expected.qkv, expected.store);
      expect_bitwise(got.qkv, expected.qkv);
      expect_bitwise(got.store.k, expected.store.k);
      expect_bitwise(got.store.v, expected.store.v);
    }
  }
}

TEST_P(TokenOpsTest, RotaryOfOddHeads) {
  at::manual_seed(4);
  for (const auto& [heads, kv_heads] :
       std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {7, 1}, {5, 5}, {6, 2}}) {
    for (const int64_t head_dim : {10, 34, 80}) {
      SCOPED_TRACE(testing::Message() << heads << " and " << kv_heads << " of " << head_dim);
      RotaryCase got(3, heads, kv_heads, head_dim, type());
      RotaryCase expected = got.copy();
      rotate_and_store(got.qkv, got.store);
      reference::rotate_and_store(expected.qkv, expected.store);
      expect_bitwise(got.qkv, expected.qkv);
      expect_bitwise(got.store.k, expected.store.k);
      expect_bitwise(got.store.v, expected.store.v);
    }
  }
}

TEST_P(TokenOpsTest, RotaryAtPositionZeroChangesNothing) {
  RotaryCase one(4, 3, 2, 6, type());
  one.store.cos.fill_(1);
  one.store.sin.fill_(0);
  const at::Tensor before = one.qkv.clone();
  rotate_and_store(one.qkv, one.store);
  expect_bitwise(one.qkv, before);
  const at::Tensor& rows = one.store.row_of_token;
  expect_bitwise(one.store.k.index_select(0, rows), before.narrow(1, 3, 2));
  expect_bitwise(one.store.v.index_select(0, rows), before.narrow(1, 5, 2));
  EXPECT_EQ(one.store.k.abs().sum({1, 2}).count_nonzero().item<int64_t>(), 4);  // no other row
}

TEST_P(TokenOpsTest, RotaryTurnsAndDoesNotStretch) {
  RotaryCase one(5, 3, 1, 64, type());
  const at::Tensor before = one.qkv.narrow(1, 0, 3).to(at::kDouble).square().sum(-1);
  rotate_and_store(one.qkv, one.store);
  expect_near(one.qkv.narrow(1, 0, 3).to(at::kDouble).square().sum(-1), before, tolerance());
}

TEST_P(TokenOpsTest, RotaryRefusesRowsThatDoNotExist) {
  RotaryCase one(2, 2, 1, 4, type());
  one.store.row_of_token[1].fill_(7);
  EXPECT_THROW(rotate_and_store(one.qkv, one.store), Error);
  one.store.row_of_token[1].fill_(-1);
  EXPECT_THROW(rotate_and_store(one.qkv, one.store), Error);
}

TEST_P(TokenOpsTest, RotaryRefusesWhatDoesNotFit) {
  RotaryCase odd(2, 2, 1, 5, type());
  EXPECT_THROW(rotate_and_store(odd.qkv, odd.store), Error);
  RotaryCase no_queries(2, 0, 1, 4, type());
  EXPECT_THROW(rotate_and_store(no_queries.qkv, no_queries.store), Error);
  RotaryCase fewer_rows(2, 2, 1, 4, type());
  fewer_rows.store.row_of_token = fewer_rows.store.row_of_token.narrow(0, 0, 1);
  EXPECT_THROW(rotate_and_store(fewer_rows.qkv, fewer_rows.store), Error);
  RotaryCase other_type(2, 2, 1, 4, type());
  other_type.store.cos = other_type.store.cos.to(at::kDouble);
  EXPECT_THROW(rotate_and_store(other_type.qkv, other_type.store), Error);
}

TEST_P(TokenOpsTest, RefuseWhatDoesNotFit) {
  const at::Tensor x = random({3, 8}, type());
  EXPECT_THROW(rms_norm(x, random({7}, type()), 1e-5), Error);
  EXPECT_THROW(rms_norm(x.t(), random({3}, type()), 1e-5), Error);
  EXPECT_THROW(swiglu(random({3, 7}, type())), Error);
  EXPECT_THROW(swiglu(random({3, 8}, at::kDouble)), Error);
  at::Tensor narrow = at::empty({3, 3}, x.options());
  EXPECT_THROW(swiglu_into(x, narrow), Error);
}

}  // namespace
}  // namespace kvcomm::ops
