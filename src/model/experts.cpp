#include "layer.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

/// The tokens of one block that one expert sees.
struct Routed {
  Tensor rows;                   ///< int64 `[routed]`, rows of the hidden states, ascending
  Tensor weights;                ///< float32 `[routed, 1]`
  std::vector<int64_t> lengths;  ///< of each text that has any
};

/// Routing weights of all tokens, float32 `[tokens, experts]`, 0 where a token does not go.
Tensor route(const Tensor& inputs, const Linear& router, const ExpertsConfiguration& experts) {
  const Tensor shares = at::softmax(router(inputs), -1);
  auto [weights, chosen] = shares.topk(experts.per_token, -1);
  if (experts.normalized_weights) weights = weights / weights.sum(-1, true);
  return at::zeros_like(shares).scatter(1, chosen, weights);
}

Routed routed_rows(const Tensor& weights, const Block& block) {
  const Tensor here = weights.narrow(0, block.start, block.count);
  const Tensor local = here.nonzero().squeeze(1);
  Routed result{.rows = local + block.start, .weights = here.index_select(0, local).unsqueeze(1)};
  const Tensor positions = local.cpu();
  const auto* position = positions.data_ptr<int64_t>();
  const auto* end = position + positions.numel();
  int64_t text_end = 0;
  for (const int64_t length : block.lengths) {
    text_end += length;
    int64_t count = 0;
    for (; position != end && *position < text_end; ++position) ++count;
    if (count > 0) result.lengths.push_back(count);
  }
  return result;
}

}  // namespace

GatedMlp MlpHalf::expert(int64_t index) const {
  const TensorNames& names = model_.names();
  if (!names.experts_gate_up.empty()) {
    return {.gate_up = reader_.slice(name_in_layer(names.experts_gate_up, layer_), index),
            .down = reader_.slice(name_in_layer(names.experts_down, layer_), index)};
  }
  return {.gate = reader_.linear(names.expert_gate, layer_, false, index),
          .up = reader_.linear(names.expert_up, layer_, false, index),
          .down = reader_.linear(names.expert_down, layer_, false, index)};
}

void MlpHalf::add_experts(HiddenStates& hidden, const Tensor& inputs,
                          const std::vector<Block>& blocks, const SiteWatch& watch) const {
  SAGESAN_ASSERT(!output_norm_.defined());
  const TensorNames& names = model_.names();
  const Tensor weights = route(inputs, reader_.linear(names.router, layer_, false), model_.experts);
  Tensor sums = at::zeros({inputs.size(0), model_.hidden_size}, inputs.options());
  for (const bool trace_only : {true, false}) {
    for (int64_t index = 0; index < model_.experts.count; ++index) {
      const Site input{layer_, SiteKind::kExpertInput, index};
      const Site inside{layer_, SiteKind::kExpertHidden, index};
      if (!trace_only && !watch.wants(input) && !watch.wants(inside)) continue;
      const Tensor own = weights.select(1, index);
      if (own.nonzero().size(0) == 0) continue;
      const GatedMlp mlp = expert(index);
      for (const Block& block : blocks) {
        const Routed routed = routed_rows(own, block);
        if (routed.lengths.empty()) continue;
        const Tensor squares = routed.weights.squeeze(1).to(at::kDouble).pow(2);
        const Tensor x = inputs.index_select(0, routed.rows);
        watch(input, x, routed.lengths, squares, trace_only);
        const Tensor inner = mlp.hidden(x, model_.activation);
        watch(inside, inner, routed.lengths, squares, trace_only);
        if (trace_only) sums.index_add_(0, routed.rows, mlp.down(inner) * routed.weights);
      }
    }
  }
  const GatedMlp shared{.gate = reader_.linear(names.shared_gate, layer_, false),
                        .up = reader_.linear(names.shared_up, layer_, false),
                        .down = reader_.linear(names.shared_down, layer_, false)};
  const Linear gate = reader_.linear(names.shared_router, layer_, false);
  for (const Block& block : blocks) {
    const Tensor x = hidden.load(block.start, block.count);
    Tensor sum = sums.narrow(0, block.start, block.count);
    if (shared.down.defined()) {
      const Tensor input = inputs.narrow(0, block.start, block.count);
      const Tensor inner = shared.hidden(input, model_.activation);
      watch(SiteKind::kSharedHidden, inner, block.lengths);
      sum = sum + shared.down(inner) * gate(input).sigmoid();
    }
    x.add_(sum);
    hidden.store(block.start, x);
  }
}

}  // namespace sagesan
