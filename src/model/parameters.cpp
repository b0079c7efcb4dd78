#include "sagesan/model/parameters.h"

#include <fmt/format.h>

#include "sagesan/support/error.h"

namespace sagesan {

std::string_view parameter_kind_name(ParameterKind kind) {
  switch (kind) {
    case ParameterKind::kLinear:
      return "linear";
    case ParameterKind::kBias:
      return "bias";
    case ParameterKind::kNorm:
      return "norm";
    case ParameterKind::kEmbedding:
      return "embedding";
    case ParameterKind::kTiedEmbedding:
      return "tied_embedding";
  }
  SAGESAN_ASSERT(false);
  return "";
}

LayerNames layer_names(int64_t layer) {
  const std::string prefix = fmt::format("model.layers.{}.", layer);
  return {.attention_norm = prefix + "input_layernorm",
          .query = prefix + "self_attn.q_proj",
          .key = prefix + "self_attn.k_proj",
          .value = prefix + "self_attn.v_proj",
          .output = prefix + "self_attn.o_proj",
          .mlp_norm = prefix + "post_attention_layernorm",
          .gate = prefix + "mlp.gate_proj",
          .up = prefix + "mlp.up_proj",
          .down = prefix + "mlp.down_proj"};
}

std::map<std::string, Parameter> model_parameters(const ModelConfiguration& model) {
  std::map<std::string, Parameter> result;
  const auto add = [&](const std::string& name, ParameterKind kind, Site site,
                       std::vector<int64_t> shape) {
    result[name] = {kind, site, std::move(shape)};
  };
  const auto add_linear = [&](const std::string& module, Site site, int64_t out, int64_t in,
                              bool bias) {
    add(module + ".weight", ParameterKind::kLinear, site, {out, in});
    if (bias) add(module + ".bias", ParameterKind::kBias, site, {out});
  };
  const int64_t hidden = model.hidden_size;
  const int64_t queries = model.heads * model.head_dimension;
  const int64_t keys = model.key_value_heads * model.head_dimension;
  const int64_t inner = model.intermediate_size;

  add(kEmbeddingName, model.tied_head ? ParameterKind::kTiedEmbedding : ParameterKind::kEmbedding,
      {-1, SiteKind::kEmbedding}, {model.vocabulary, hidden});
  for (int64_t layer = 0; layer < model.layers; ++layer) {
    const LayerNames names = layer_names(layer);
    const Site attention{layer, SiteKind::kAttentionInput};
    add(names.attention_norm + ".weight", ParameterKind::kNorm, {layer, SiteKind::kAttentionNorm},
        {hidden});
    add_linear(names.query, attention, queries, hidden, model.query_key_value_bias);
    add_linear(names.key, attention, keys, hidden, model.query_key_value_bias);
    add_linear(names.value, attention, keys, hidden, model.query_key_value_bias);
    add_linear(names.output, {layer, SiteKind::kAttentionOutput}, hidden, queries,
               model.output_bias);
    add(names.mlp_norm + ".weight", ParameterKind::kNorm, {layer, SiteKind::kMlpNorm}, {hidden});
    add_linear(names.gate, {layer, SiteKind::kMlpInput}, inner, hidden, model.mlp_bias);
    add_linear(names.up, {layer, SiteKind::kMlpInput}, inner, hidden, model.mlp_bias);
    add_linear(names.down, {layer, SiteKind::kMlpHidden}, hidden, inner, model.mlp_bias);
  }
  add(kFinalNormName, ParameterKind::kNorm, {model.layers, SiteKind::kFinalNorm}, {hidden});
  if (!model.tied_head) {
    add_linear("lm_head", {model.layers, SiteKind::kHeadInput}, model.vocabulary, hidden, false);
  }
  return result;
}

std::map<Site, int64_t> model_sites(const ModelConfiguration& model) {
  std::map<Site, int64_t> result;
  for (const auto& [name, parameter] : model_parameters(model)) {
    // A linear module's input are its columns; a gain's, a bias's and an embedding's are the rows.
    const bool linear = parameter.kind == ParameterKind::kLinear;
    if (parameter.kind != ParameterKind::kBias)
      result[parameter.site] = parameter.shape[linear ? 1 : 0];
  }
  result[{model.layers, SiteKind::kHeadInput}] = model.hidden_size;
  return result;
}

StoredTensor find_stored_tied_head(const ModelConfiguration& model, const Checkpoint& checkpoint) {
  return model.tied_head ? checkpoint.find(kHeadName) : StoredTensor{};
}

void check_parameters(const ModelConfiguration& model, const Checkpoint& checkpoint) {
  for (const auto& [name, parameter] : model_parameters(model)) {
    const StoredTensor stored = checkpoint.find(name);
    if (!stored) {
      throw InputError(
          checkpoint.directory().string(),
          fmt::format("tensor {} is missing, which config.json asks for", quote(name)));
    }
    if (stored.info->shape != parameter.shape) {
      throw InputError(stored.where(),
                       fmt::format("shape {}, but config.json asks for {}",
                                   shape_text(stored.info->shape), shape_text(parameter.shape)));
    }
    if (!is_computable(stored.info->dtype)) {
      throw InputError(stored.where(), fmt::format("dtype {}; expected F32, BF16, F16 or F64",
                                                   dtype_name(stored.info->dtype)));
    }
  }
}

}  // namespace sagesan
