#include "sagesan/model/decoder.h"

#include <fmt/format.h>

#include <algorithm>

#include "layer.h"
#include "sagesan/model/parameters.h"
#include "sagesan/support/error.h"

namespace sagesan {

void TokenBatch::add(const std::vector<int64_t>& text) {
  SAGESAN_ASSERT(!text.empty());
  ids.insert(ids.end(), text.begin(), text.end());
  lengths.push_back(static_cast<int64_t>(text.size()));
}

void TokenBatch::add(const TokenBatch& texts) {
  ids.insert(ids.end(), texts.ids.begin(), texts.ids.end());
  lengths.insert(lengths.end(), texts.lengths.begin(), texts.lengths.end());
}

std::vector<int64_t> TokenBatch::positions() const {
  std::vector<int64_t> result;
  result.reserve(ids.size());
  for (const int64_t length : lengths) {
    for (int64_t i = 0; i < length; ++i) result.push_back(i);
  }
  return result;
}

int64_t most_block_tokens(const TokenBatch& batch) {
  int64_t most = 0;
  for (const Block& block : make_blocks(batch)) most = std::max(most, block.count);
  return most;
}

Decoder::Decoder(const ModelConfiguration& model, const Checkpoint& checkpoint, at::Device device)
    : model_(model), checkpoint_(checkpoint), device_(device) {
  for (const RopeConfiguration& rope : model.ropes) ropes_.emplace_back(rope, device);
  for (const auto& [name, parameter] : model_parameters(model)) {
    const StoredTensor stored = checkpoint.find(name);
    if (stored) weights_[parameter.site.layer].push_back(stored);
  }
}

Decoder::~Decoder() = default;

void Decoder::require_finite(const Tensor& values, std::string_view what) const {
  if (all_finite(values)) return;
  throw InputError(
      checkpoint_.path().string(),
      fmt::format("the model's {} are not finite: its weights hold numbers too large", what));
}

void Decoder::keep_weights() {
  if (kept_ == nullptr) kept_ = std::make_unique<KeptWeights>();
}

int64_t Decoder::weight_bytes(const ModelConfiguration& model) {
  int64_t values = 0;
  for (const auto& [name, parameter] : model_parameters(model)) {
    if (parameter.kind == ParameterKind::kEmbedding) continue;  // of it only rows are read
    values += c10::multiply_integers(parameter.shape);
  }
  return values * static_cast<int64_t>(sizeof(float));
}

bool Decoder::outgrows(int64_t before, int64_t after) const {
  return std::any_of(ropes_.begin(), ropes_.end(), [&](const RotaryEmbedding& rope) {
    return rope.table(before) != rope.table(after);
  });
}

Tensor Decoder::embed(const TokenBatch& batch, const KeyValueCache* cache) const {
  const WeightReader reader(model_, checkpoint_, device_, kept_.get());
  const auto rows = [&](const std::string& name, const std::vector<int64_t>& ids) {
    const StoredTensor stored = checkpoint_.find(name);
    return reader.to_compute(gather_rows(stored, ids), stored);
  };
  Tensor hidden = rows(embedding_name(model_), batch.ids);
  if (model_.embedding_scale != 1) hidden.mul_(static_cast<float>(model_.embedding_scale));
  if (model_.positions == 0) return hidden;
  std::vector<int64_t> positions = batch.positions();
  if (cache != nullptr) {
    const std::vector<int64_t> before = cache->before();
    size_t token = 0;
    for (size_t text = 0; text < before.size(); ++text) {
      for (int64_t i = 0; i < batch.lengths[text]; ++i) positions[token++] += before[text];
    }
  }
  return hidden.add_(rows(model_.names().position_embedding + ".weight", positions));
}

HiddenStates Decoder::embed_to_file(const TokenBatch& batch,
                                    const std::filesystem::path& directory) const {
  HiddenStates hidden(batch.tokens(), model_.hidden_size, device_, directory);
  for (const Block& block : make_blocks(batch)) {
    const auto first = batch.ids.begin() + block.start;
    hidden.store(block.start,
                 embed({.ids = {first, first + block.count}, .lengths = block.lengths}));
  }
  return hidden;
}

void Decoder::run_layer(int64_t layer, HiddenStates& hidden, const TokenBatch& batch,
                        const std::set<Site>& wanted, bool finish, const Observer& observer,
                        KeyValueCache* cache) {
  const WeightReader reader(model_, checkpoint_, device_, kept_.get());
  const SiteWatch watch(layer, wanted, finish, observer);
  const Attention attention(model_, reader, layer);
  const MlpHalf mlp(model_, reader, layer);
  if (finish && kept_ == nullptr && layer + 1 < model_.layer_count())
    will_read(weights_.at(layer + 1));
  RotaryEmbedding* rope = ropes_.empty() ? nullptr : &ropes_[model_.layer(layer).rope];
  const std::vector<Block> blocks = make_blocks(batch);
  std::vector<Tensor> inputs;  // of the experts
  for (const Block& block : blocks) {
    const Tensor x = hidden.load(block.start, block.count);
    const auto [sum, attention_input] = attention.run(x, block, rope, watch, cache);
    if (!sum.defined()) continue;
    if (!model_.parallel_residual) x.add_(sum);
    const Tensor input = mlp.input(x, attention_input, block, watch);
    if (model_.parallel_residual) x.add_(sum);
    if (!input.defined()) continue;
    if (mlp.has_experts()) {
      inputs.push_back(input);
    } else {
      mlp.add(x, input, block, watch);
    }
    hidden.store(block.start, x);
  }
  if (!inputs.empty()) mlp.add_experts(hidden, at::cat(inputs, 0), blocks, watch);
}

void Decoder::run_final_norm(HiddenStates& hidden, const TokenBatch& batch,
                             const std::set<Site>& wanted, const Observer& observer) const {
  const WeightReader reader(model_, checkpoint_, device_, kept_.get());
  const Norm norm = reader.norm(model_.names().final_norm, 0);
  const SiteWatch watch(model_.layer_count(), wanted, true, observer);
  for (const Block& block : make_blocks(batch)) {
    const Tensor normalized = norm.normalize(hidden.load(block.start, block.count));
    watch(SiteKind::kFinalNorm, normalized, block.lengths);
    const Tensor x = norm.scale(normalized);
    watch(SiteKind::kHeadInput, x, block.lengths);
    hidden.store(block.start, x);
  }
}

Tensor Decoder::HeadRows::logits(const Tensor& states) const {
  Tensor result = Linear{weight, bias}(states);
  return softcap > 0 ? result.div_(softcap).tanh_().mul_(softcap) : result;
}

Decoder::HeadRows Decoder::head_rows(int64_t start, int64_t count) const {
  const WeightReader reader(model_, checkpoint_, device_, kept_.get());
  const std::string name = model_.tied_head ? embedding_name(model_) : head_name(model_);
  HeadRows rows{.weight = reader.rows(name, start, count), .softcap = model_.head_softcap};
  if (model_.head_bias)
    rows.bias = reader.tensor(model_.names().head + ".bias").narrow(0, start, count);
  return rows;
}

}  // namespace sagesan
