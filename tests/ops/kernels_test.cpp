// The GPU's kernels, run on the CPU, beside the CPU's own.
#include "tests/support/cuda_on_cpu.h"
//
#include "ops/kernels.cuh"
#include "ops/norm.h"
#include "ops/rotary.h"
#include "ops/swiglu.h"
#include "tests/ops/ops_fixture.h"

namespace kvcomm::ops {
namespace {

using testing::launch_on_cpu;
constexpr unsigned kThreads = 8;

template <typename T>
T* data(const at::Tensor& tensor) {
  return static_cast<T*>(tensor.mutable_data_ptr());
}

struct KernelsTest : ::testing::TestWithParam<at::ScalarType> {
  at::ScalarType type() const { return GetParam(); }
  double ulp() const { return type() == at::kFloat ? 1e-6 : kBFloat16Ulp; }
  // launch(element of the kernel's type)
  template <typename Launch>
  void with_type(const Launch& launch) const {
    type() == at::kFloat ? launch(float{}) : launch(kernels::BFloat16{});
  }
};
INSTANTIATE_TEST_SUITE_P(Types, KernelsTest, ::testing::Values(at::kFloat, at::kBFloat16));

TEST_P(KernelsTest, NormIsTheCpus) {
  for (const int64_t hidden : {3, 8, 50}) {
    const at::Tensor h = random({4, hidden}, type()), delta = random({4, hidden}, type());
    const at::Tensor weight = random({hidden}, type());
    for (const bool adds : {false, true}) {
      at::Tensor expected_h = h.clone(), expected = at::empty_like(h);
      cpu::add_rms_norm(expected_h, adds ? delta : at::Tensor(), weight, 1e-5, expected);
      const at::Tensor got_h = h.clone(), got = at::empty_like(h);
      with_type([&](auto element) {
        using T = decltype(element);
        launch_on_cpu({4}, kThreads, [&] {
          kernels::add_rms_norm(data<T>(got_h), adds ? data<T>(delta) : nullptr, data<T>(weight),
                                hidden, 1e-5F, data<T>(got));
        });
      });
      expect_bitwise(got_h, expected_h);
      expect_near(got, expected, ulp());  // a sum's order
    }
  }
}

TEST_P(KernelsTest, RotaryIsTheCpus) {
  const int64_t tokens = 5, heads = 4, kv_heads = 2, half = 3, rows = 9;
  const at::Tensor qkv = random({tokens, heads + 2 * kv_heads, 2 * half}, type());
  const at::Tensor angle = at::randn({tokens, half});
  const auto store = [&] {
    return RotaryStore{.cos = angle.cos().to(type()),
                       .sin = angle.sin().to(type()),
                       .row_of_token = at::tensor({8, 0, 3, 4, 1}, at::kLong),
                       .k = at::zeros({rows, kv_heads, 2 * half}, qkv.options()),
                       .v = at::zeros({rows, kv_heads, 2 * half}, qkv.options())};
  };
  const RotaryStore expected = store(), got = store();
  at::Tensor expected_qkv = qkv.clone();
  cpu::rotate_and_store(expected_qkv, expected);
  const at::Tensor got_qkv = qkv.clone();
  with_type([&](auto element) {
    using T = decltype(element);
    launch_on_cpu({static_cast<unsigned>(tokens)}, kThreads, [&] {
      kernels::rotate_and_store(data<T>(got_qkv), data<T>(got.cos), data<T>(got.sin),
                                got.row_of_token.const_data_ptr<int64_t>(), data<T>(got.k),
                                data<T>(got.v), heads, kv_heads, half);
    });
  });
  expect_bitwise(got_qkv, expected_qkv);
  expect_bitwise(got.k, expected.k);
  expect_bitwise(got.v, expected.v);
}

TEST_P(KernelsTest, SwigluIsTheCpus) {
  const int64_t tokens = 3, n = 21;
  const at::Tensor gate_up = random({tokens, 2 * n}, type(), 4);
  gate_up[0][0] = kNan;
  gate_up[1][0] = 200;
  gate_up[1][1] = -200;
  at::Tensor expected = at::empty({tokens, n}, gate_up.options());
  cpu::swiglu(gate_up, expected);
  const at::Tensor got = at::empty_like(expected);
  with_type([&](auto element) {
    using T = decltype(element);
    launch_on_cpu({(tokens * n + kThreads - 1) / kThreads}, kThreads,
                  [&] { kernels::swiglu(data<T>(gate_up), tokens, n, data<T>(got)); });
  });
  EXPECT_TRUE(got[0][0].isnan().item<bool>());
  expect_near(got.nan_to_num(), expected.nan_to_num(), ulp(), 1e-30);
}

}  // namespace
}  // namespace kvcomm::ops
