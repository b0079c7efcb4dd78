#include "layer.h"
#include "sagesan/support/error.h"

namespace sagesan {

Tensor GatedMlp::hidden(const Tensor& input, Activation activation) const {
  if (gate_up.defined()) {
    const Tensor both = gate_up(input);
    const int64_t inner = both.size(1) / 2;
    Tensor hidden = both.narrow(1, 0, inner).contiguous();
    activate(activation, hidden);
    return hidden.mul_(both.narrow(1, inner, inner));
  }
  Tensor hidden = gate.defined() ? gate(input) : up(input);
  activate(activation, hidden);
  return gate.defined() ? hidden.mul_(up(input)) : hidden;
}

MlpHalf::MlpHalf(const ModelConfiguration& model, const WeightReader& reader, int64_t layer)
    : model_(model), reader_(reader), layer_(layer) {
  const TensorNames& names = model.names();
  norm_ = reader.norm(names.mlp_norm, layer);
  output_norm_ = reader.norm(names.mlp_output_norm, layer);
  if (has_experts()) return;
  mlp_ = {.gate = reader.linear(names.gate, layer, model.mlp_bias),
          .up = reader.linear(names.up, layer, model.mlp_bias),
          .gate_up = reader.linear(names.gate_up, layer, model.mlp_bias),
          .down = reader.linear(names.down, layer, model.mlp_bias)};
}

Tensor MlpHalf::input(const Tensor& x, const Tensor& attention_input, const Block& block,
                      const SiteWatch& watch) const {
  // Beside the attention and without a norm: what it reads was observed there.
  if (!norm_.defined() && model_.parallel_residual) return attention_input;
  Tensor input = x;
  if (norm_.defined()) {
    const Tensor normalized = norm_.normalize(x);
    if (!watch(SiteKind::kMlpNorm, normalized, block.lengths)) return {};
    input = norm_.scale(normalized);
  }
  return watch(SiteKind::kMlpInput, input, block.lengths) ? input : Tensor();
}

void MlpHalf::add(const Tensor& x, const Tensor& input, const Block& block,
                  const SiteWatch& watch) const {
  const Tensor hidden = mlp_.hidden(input, model_.activation);
  if (!watch(SiteKind::kMlpHidden, hidden, block.lengths)) return;
  Tensor sum = mlp_.down(hidden);
  if (output_norm_.defined()) {
    const Tensor normalized = output_norm_.normalize(sum);
    if (!watch(SiteKind::kMlpOutputNorm, normalized, block.lengths)) return;
    sum = output_norm_.scale(normalized);
  }
  x.add_(sum);
}

}  // namespace sagesan
