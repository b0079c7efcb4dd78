#include "sagesan/model/decoder.h"

#include <algorithm>
#include <cmath>

#include "sagesan/support/error.h"

namespace sagesan {
namespace {

/// Tokens of one block of products: whole texts, so a longer text is a block of its own.
constexpr int64_t kBlockTokens = 4096;

Tensor activate(Activation activation, const Tensor& x) {
  switch (activation) {
    case Activation::kSilu:
      return at::silu(x);
    case Activation::kGelu:
      return at::gelu(x);
    case Activation::kGeluTanh:
      return at::gelu(x, "tanh");
    case Activation::kRelu:
      return at::relu(x);
  }
  SAGESAN_ASSERT(false);
  return {};
}

}  // namespace

struct Decoder::Layer {
  Tensor attention_norm, mlp_norm;
  Linear query, key, value, output, gate, up, down;
};

namespace {

template <typename Linear>
Tensor apply(const Linear& linear, const Tensor& x) {
  return linear.bias.defined() ? at::addmm(linear.bias, x, linear.weight.t())
                               : at::mm(x, linear.weight.t());
}

}  // namespace

void TokenBatch::add(const std::vector<int64_t>& text) {
  SAGESAN_ASSERT(!text.empty());
  ids.insert(ids.end(), text.begin(), text.end());
  lengths.push_back(static_cast<int64_t>(text.size()));
}

Decoder::Decoder(const ModelConfiguration& model, const Checkpoint& checkpoint, at::Device device)
    : model_(model), checkpoint_(checkpoint), device_(device), rope_(model.rope, device) {}

Tensor Decoder::to_compute(const Tensor& values, const StoredTensor& stored) const {
  Tensor result = values.to(device_, at::kFloat);
  check_finite(result, stored);
  return result;
}

Tensor Decoder::weight(const std::string& name) const {
  const StoredTensor stored = checkpoint_.find(name);
  SAGESAN_ASSERT(stored);
  return to_compute(load(stored), stored);
}

Decoder::Linear Decoder::linear(const std::string& module, bool bias) const {
  return {weight(module + ".weight"), bias ? weight(module + ".bias") : Tensor()};
}

Decoder::Layer Decoder::load_layer(int64_t layer) const {
  const LayerNames names = layer_names(layer);
  return {.attention_norm = weight(names.attention_norm + ".weight"),
          .mlp_norm = weight(names.mlp_norm + ".weight"),
          .query = linear(names.query, model_.query_key_value_bias),
          .key = linear(names.key, model_.query_key_value_bias),
          .value = linear(names.value, model_.query_key_value_bias),
          .output = linear(names.output, model_.output_bias),
          .gate = linear(names.gate, model_.mlp_bias),
          .up = linear(names.up, model_.mlp_bias),
          .down = linear(names.down, model_.mlp_bias)};
}

Tensor Decoder::embed(const TokenBatch& batch) const {
  const StoredTensor stored = checkpoint_.find(kEmbeddingName);
  return to_compute(gather_rows(stored, batch.ids), stored);
}

Tensor Decoder::normalize(const Tensor& x) const {
  return x * at::rsqrt(x.pow(2).mean(-1, true) + model_.norm_epsilon);
}

std::vector<Decoder::Block> Decoder::blocks(const TokenBatch& batch) {
  std::vector<Block> result;
  int64_t start = 0;
  for (const int64_t length : batch.lengths) {
    if (result.empty() || result.back().count + length > kBlockTokens) result.push_back({start, 0});
    result.back().lengths.push_back(length);
    result.back().count += length;
    start += length;
  }
  return result;
}

Tensor Decoder::attend(const Tensor& queries, const Tensor& keys, const Tensor& values,
                       const Block& block, int64_t window) const {
  const double scale = 1 / std::sqrt(static_cast<double>(model_.head_dimension));
  std::vector<Tensor> parts;
  int64_t start = 0;
  for (const int64_t length : block.lengths) {
    parts.push_back(causal_attention(queries.narrow(0, start, length),
                                     keys.narrow(0, start, length), values.narrow(0, start, length),
                                     scale, window));
    start += length;
  }
  return parts.size() == 1 ? parts.front() : at::cat(parts, 0);
}

void Decoder::run_layer(int64_t layer, Tensor& hidden, const TokenBatch& batch,
                        const std::set<Site>& wanted, bool finish, const Observer& observer) {
  const Layer weights = load_layer(layer);
  // The last site of this layer that somebody wants; what lies behind it is not computed.
  Site last{layer, finish ? SiteKind::kFinalNorm : SiteKind::kEmbedding};
  for (const Site& site : wanted) {
    if (site.layer == layer) last = std::max(last, site);
  }
  const int64_t window = model_.windows[static_cast<size_t>(layer)];
  for (const Block& block : blocks(batch)) {
    Tensor x = hidden.narrow(0, block.start, block.count);
    /// Whether anything behind this site is wanted.
    const auto observe = [&](SiteKind kind, const Tensor& input) {
      if (wanted.contains({layer, kind})) observer({layer, kind}, input, block.lengths);
      return last > Site{layer, kind};
    };
    const auto split = [&](const Tensor& t, int64_t heads) {
      return t.view({block.count, heads, model_.head_dimension});
    };

    Tensor normalized = normalize(x);
    if (!observe(SiteKind::kAttentionNorm, normalized)) continue;
    const Tensor attention_input = normalized * weights.attention_norm;
    if (!observe(SiteKind::kAttentionInput, attention_input)) continue;
    const auto [cos, sin] = rope_.angles(block.lengths);
    const Tensor queries = RotaryEmbedding::rotate(
        split(apply(weights.query, attention_input), model_.heads), cos, sin);
    const Tensor keys = RotaryEmbedding::rotate(
        split(apply(weights.key, attention_input), model_.key_value_heads), cos, sin);
    const Tensor values = split(apply(weights.value, attention_input), model_.key_value_heads);
    const Tensor mixed = attend(queries, keys, values, block, window);
    if (!observe(SiteKind::kAttentionOutput, mixed)) continue;
    x.add_(apply(weights.output, mixed));

    normalized = normalize(x);
    if (!observe(SiteKind::kMlpNorm, normalized)) continue;
    const Tensor mlp_input = normalized * weights.mlp_norm;
    if (!observe(SiteKind::kMlpInput, mlp_input)) continue;
    Tensor inner = activate(model_.activation, apply(weights.gate, mlp_input));
    inner.mul_(apply(weights.up, mlp_input));
    if (!observe(SiteKind::kMlpHidden, inner)) continue;
    x.add_(apply(weights.down, inner));
  }
}

void Decoder::run_final_norm(Tensor& hidden, const TokenBatch& batch, const std::set<Site>& wanted,
                             const Observer& observer) const {
  const Tensor gain = weight(kFinalNormName);
  const Site norm{model_.layers, SiteKind::kFinalNorm};
  const Site head{model_.layers, SiteKind::kHeadInput};
  for (const Block& block : blocks(batch)) {
    Tensor x = hidden.narrow(0, block.start, block.count);
    const Tensor normalized = normalize(x);
    if (wanted.contains(norm)) observer(norm, normalized, block.lengths);
    x.copy_(normalized * gain);
    if (wanted.contains(head)) observer(head, x, block.lengths);
  }
}

Tensor Decoder::head_rows(int64_t start, int64_t count) const {
  const StoredTensor stored = checkpoint_.find(model_.tied_head ? kEmbeddingName : kHeadName);
  return to_compute(load_rows(stored, start, count), stored);
}

}  // namespace sagesan
