// What the stages of a run take by themselves, and the operations below them that bound them:
//
//     scripts/bench --stages [--benchmark_filter=REGEX ...]
#include <ATen/ops/linalg_qr.h>
#include <ATen/ops/randn.h>
#include <benchmark/benchmark.h>

#include <cmath>

#include "sagesan/activations/moments.h"
#include "sagesan/model/decoder.h"
#include "sagesan/spectral/subspace.h"
#include "sagesan/support/threads.h"

namespace sagesan {
namespace {

using benchmark::State;

constexpr int64_t kTokens = 2048;

/// `operations` of each iteration, multiplications and additions, as billions a second.
void count(State& state, double operations) {
  state.counters["GF/s"] =
      benchmark::Counter(operations / 1e9, benchmark::Counter::kIsIterationInvariantRate);
}

/// The floor of a linear module, of a moment and of a solved update: [tokens, in] x [in, out].
void matrix_product(State& state) {
  const int64_t in = state.range(0);
  const int64_t out = state.range(1);
  const Tensor x = at::randn({kTokens, in});
  const Tensor weight = at::randn({out, in});
  for (auto _ : state) benchmark::DoNotOptimize(at::mm(x, weight.t()));
  count(state, 2.0 * kTokens * static_cast<double>(in * out));
}

/// As if the whole symmetric product were computed.
void moment(State& state) {
  const int64_t channels = state.range(0);
  const Tensor x = at::randn({kTokens, channels});
  SecondMoment sums(channels, channels, at::kCPU);
  for (auto _ : state) sums.add(x);
  count(state, 2.0 * kTokens * static_cast<double>(channels * channels));
}

void attention(State& state) {
  const int64_t tokens = state.range(0);
  const int64_t texts = kTokens / tokens;
  const Tensor queries = at::randn({texts, tokens, 9, 64});
  const Tensor keys = at::randn({texts, tokens, 3, 64});
  const Tensor values = at::randn({texts, tokens, 3, 64});
  for (auto _ : state) benchmark::DoNotOptimize(causal_attention(queries, keys, values, 0.125, 0));
}

/// Eigenvalues that fall as i^-(exponent / 100).
Tensor power_law(int64_t channels, int64_t exponent) {
  const Tensor q = std::get<0>(at::linalg_qr(at::randn({channels, channels}, at::kDouble)));
  const Tensor values =
      at::pow(at::arange(1, channels + 1, at::kDouble), -static_cast<double>(exponent) / 100);
  return at::mm(q * values, q.t());
}

/// What the spectral step is measured against.
void eigh(State& state) {
  const Tensor matrix = power_law(state.range(0), state.range(1));
  for (auto _ : state) benchmark::DoNotOptimize(at::linalg_eigh(matrix));
}

void spectral(State& state) {
  const int64_t channels = state.range(0);
  MomentSums sums;
  sums.sum = power_law(channels, state.range(1));
  sums.mean_sum = at::zeros({channels}, at::kDouble);
  sums.weight = 1;
  sums.count = channels + 1;
  const SecondMoment moment(sums);
  const double energy = static_cast<double>(state.range(2)) / 100;
  Subspace subspace;
  for (auto _ : state) subspace = dominant_subspace(moment, energy, "site");
  state.counters["rank"] = static_cast<double>(subspace.rank);
  state.counters["residual"] = subspace.residual;
}

BENCHMARK(matrix_product)
    ->Args({576, 1536})
    ->Args({1536, 576})
    ->Args({4096, 4096})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK(moment)->Arg(576)->Arg(1536)->Arg(4096)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(attention)->Arg(32)->Arg(512)->Arg(2048)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(eigh)
    ->ArgsProduct({{576, 1536, 4096}, {150}})
    ->Args({8192, 150})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK(spectral)
    ->ArgsProduct({{576, 1536, 4096}, {50, 100, 150}, {95}})
    ->Args({8192, 150, 95})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace sagesan

int main(int argc, char** argv) {
  sagesan::set_threads(0);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
