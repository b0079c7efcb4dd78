#include "layer.h"

#include <algorithm>

#include "padded_texts.h"
#include "sagesan/support/error.h"
#include "sagesan/support/stage_clock.h"

namespace sagesan {

std::vector<Block> make_blocks(const TokenBatch& batch) {
  constexpr int64_t kBlockTokens = 2048;
  std::vector<Block> result;
  int64_t start = 0;
  size_t text = 0;
  for (const int64_t length : batch.lengths) {
    if (result.empty() || result.back().count + length > kBlockTokens)
      result.push_back({.start = start, .count = 0, .first_text = text});
    ++text;
    result.back().lengths.push_back(length);
    result.back().count += length;
    start += length;
  }
  return result;
}

SiteWatch::SiteWatch(int64_t layer, const std::set<Site>& wanted, bool finish,
                     const Observer& observer)
    : layer_(layer),
      wanted_(wanted),
      observer_(observer),
      last_{layer, finish ? SiteKind::kFinalNorm : SiteKind::kEmbedding} {
  for (const Site& site : wanted) {
    if (site.layer == layer) last_ = std::max(last_, site);
  }
}

bool SiteWatch::operator()(const Site& site, const Tensor& x, const std::vector<int64_t>& lengths,
                           const Tensor& weights, bool trace_only) const {
  if (wanted_.contains(site)) observer_({site, x, lengths, weights, trace_only});
  return last_ > site;
}

Attention::Attention(const ModelConfiguration& model, const WeightReader& reader, int64_t layer)
    : model_(model), layer_(layer) {
  const TensorNames& names = model.names();
  const bool bias = model.query_key_value_bias;
  norm_ = reader.norm(names.attention_norm, layer);
  query_norm_ = reader.norm(names.query_norm, layer);
  key_norm_ = reader.norm(names.key_norm, layer);
  output_norm_ = reader.norm(names.attention_output_norm, layer);
  query_ = reader.linear(names.query, layer, bias);
  key_ = reader.linear(names.key, layer, bias);
  value_ = reader.linear(names.value, layer, bias);
  fused_ = reader.linear(names.query_key_value, layer, bias);
  output_ = reader.linear(names.attention_output, layer, model.output_bias);
}

std::array<Tensor, 3> Attention::project(const Tensor& input) const {
  const int64_t tokens = input.size(0);
  const int64_t channels = model_.head_dimension;
  const int64_t heads = model_.heads;
  const int64_t keys = model_.key_value_heads;
  if (!fused_.defined()) {
    return {query_(input).view({tokens, heads, channels}),
            key_(input).view({tokens, keys, channels}),
            value_(input).view({tokens, keys, channels})};
  }
  const Tensor all = fused_(input);
  if (model_.fused_layout == FusedLayout::kInterleaved) {
    const Tensor by_head = all.view({tokens, heads, 3, channels});
    return {by_head.select(2, 0), by_head.select(2, 1), by_head.select(2, 2)};
  }
  const Tensor rows = all.view({tokens, heads + 2 * keys, channels});
  return {rows.narrow(1, 0, heads), rows.narrow(1, heads, keys),
          rows.narrow(1, heads + keys, keys)};
}

bool Attention::normalize(const Norm& norm, Tensor& heads, SiteKind kind, const Block& block,
                          const SiteWatch& watch) const {
  if (!norm.defined()) return true;
  const auto shape = heads.sizes().vec();
  const Tensor flat = model_.full_width_query_norm ? heads.reshape({heads.size(0), -1}) : heads;
  const Tensor normalized = norm.normalize(flat);
  if (!watch(kind, normalized, block.lengths)) return false;
  heads = norm.scale(normalized).view(shape);
  return true;
}

Tensor Attention::mix(Tensor queries, Tensor keys, const Tensor& values, const Block& block,
                      RotaryEmbedding* rope, KeyValueCache* cache) const {
  const StageClock clock("attention");
  if (rope != nullptr) {
    std::vector<int64_t> before(block.lengths.size());
    if (cache != nullptr) {
      const std::vector<int64_t> all = cache->before();
      std::copy_n(all.begin() + static_cast<std::ptrdiff_t>(block.first_text), before.size(),
                  before.begin());
    }
    const auto [cos, sin] = rope->angles(block.lengths, before);
    queries = RotaryEmbedding::rotate(queries, cos, sin);
    keys = RotaryEmbedding::rotate(keys, cos, sin);
  }
  const LayerConfiguration& layer = model_.layer(layer_);
  const auto attend = [&](const Tensor& q, const Tensor& k, const Tensor& v) {
    return causal_attention(q, k, v, layer.attention_scale, layer.window, model_.attention_softcap)
        .flatten(0, 1);
  };
  std::vector<Tensor> parts;
  if (cache == nullptr) {
    for (const PaddedTexts& texts : padded_texts(block.lengths, queries.device())) {
      const auto pad = [&](const Tensor& x) { return texts.pad(x); };
      parts.push_back(texts.unpad(attend(pad(queries), pad(keys), pad(values))));
    }
    return at::cat(parts, 0);
  }
  int64_t start = 0;
  for (size_t i = 0; i < block.lengths.size(); ++i) {
    const int64_t length = block.lengths[i];
    const auto [own_keys, own_values] =
        cache->append(layer_, block.first_text + i, keys.narrow(0, start, length),
                      values.narrow(0, start, length));
    parts.push_back(attend(queries.narrow(0, start, length).unsqueeze(0), own_keys.unsqueeze(0),
                           own_values.unsqueeze(0)));
    start += length;
  }
  return at::cat(parts, 0);
}

Attention::Result Attention::run(const Tensor& x, const Block& block, RotaryEmbedding* rope,
                                 const SiteWatch& watch, KeyValueCache* cache) const {
  Tensor input = x;
  if (norm_.defined()) {
    const Tensor normalized = norm_.normalize(x);
    if (!watch(SiteKind::kAttentionNorm, normalized, block.lengths)) return {};
    input = norm_.scale(normalized);
  }
  if (!watch(SiteKind::kAttentionInput, input, block.lengths)) return {};
  auto [queries, keys, values] = project(input);
  if (!normalize(query_norm_, queries, SiteKind::kQueryNorm, block, watch)) return {};
  if (!normalize(key_norm_, keys, SiteKind::kKeyNorm, block, watch)) return {};
  const Tensor mixed = mix(queries, keys, values, block, rope, cache);
  if (!watch(SiteKind::kAttentionOutput, mixed, block.lengths)) return {};
  Tensor sum = output_(mixed);
  if (output_norm_.defined()) {
    const Tensor normalized = output_norm_.normalize(sum);
    if (!watch(SiteKind::kAttentionOutputNorm, normalized, block.lengths)) return {};
    sum = output_norm_.scale(normalized);
  }
  return {sum, input};
}

}  // namespace sagesan
