#include "sagesan/model/parameters.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

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

std::string embedding_name(const ModelConfiguration& model) {
  return model.names().embedding + ".weight";
}

std::string head_name(const ModelConfiguration& model) { return model.names().head + ".weight"; }

namespace {

/// Collects the tensors of a model. Modules without a name do not exist.
class ParameterList {
 public:
  explicit ParameterList(const ModelConfiguration& model) : model_(model) {}

  void add(const std::string& name, Parameter parameter) {
    parameters[name] = std::move(parameter);
  }
  void norm(const std::string& module, const Site& site, int64_t channels) {
    if (module.empty()) return;
    const std::string name = name_in_layer(module, site.layer);
    Parameter gain{ParameterKind::kNorm, site, {channels}};
    gain.offset = model_.norm == NormKind::kRmsPlusOne ? 1 : 0;
    add(name + ".weight", gain);
    if (model_.norm == NormKind::kLayer)
      add(name + ".bias", {ParameterKind::kBias, site, {channels}});
  }
  void linear(const std::string& module, const Site& site, int64_t out, int64_t in, bool bias) {
    if (module.empty()) return;
    const std::string name = name_in_layer(module, site.layer, site.expert);
    const bool transposed = model_.transposed;
    const std::vector<int64_t> shape = transposed ? std::vector{in, out} : std::vector{out, in};
    add(name + ".weight", {ParameterKind::kLinear, site, shape, transposed});
    if (bias) add(name + ".bias", {ParameterKind::kBias, site, {out}});
  }

  /// The matrices of all experts in one tensor.
  void experts(const std::string& name, const Site& site, const std::vector<int64_t>& shape) {
    Parameter& parameter = parameters[name_in_layer(name, site.layer)];
    parameter.kind = ParameterKind::kLinear;
    parameter.site = site;
    parameter.experts = shape[0];
    parameter.shape = shape;
  }

  std::map<std::string, Parameter> parameters;

 private:
  const ModelConfiguration& model_;
};

void add_experts(const ModelConfiguration& model, int64_t layer, ParameterList& list) {
  const TensorNames& names = model.names();
  const auto& [count, per_token, inner, shared, normalized] = model.experts;
  const int64_t hidden = model.hidden_size;
  const Site input{layer, SiteKind::kMlpInput};
  list.linear(names.router, input, count, hidden, false);
  for (int64_t i = 0; i < count; ++i) {
    const Site in{layer, SiteKind::kExpertInput, i};
    list.linear(names.expert_gate, in, inner, hidden, false);
    list.linear(names.expert_up, in, inner, hidden, false);
    list.linear(names.expert_down, {layer, SiteKind::kExpertHidden, i}, hidden, inner, false);
  }
  if (!names.experts_gate_up.empty()) {
    list.experts(names.experts_gate_up, {layer, SiteKind::kExpertInput},
                 {count, 2 * inner, hidden});
    list.experts(names.experts_down, {layer, SiteKind::kExpertHidden}, {count, hidden, inner});
  }
  if (shared == 0) return;
  list.linear(names.shared_gate, input, shared, hidden, false);
  list.linear(names.shared_up, input, shared, hidden, false);
  list.linear(names.shared_down, {layer, SiteKind::kSharedHidden}, hidden, shared, false);
  list.linear(names.shared_router, input, 1, hidden, false);
}

void add_layer(const ModelConfiguration& model, int64_t layer, ParameterList& list) {
  const TensorNames& names = model.names();
  const int64_t hidden = model.hidden_size;
  const int64_t head = model.head_dimension;
  const int64_t queries = model.heads * head;
  const int64_t keys = model.key_value_heads * head;
  const bool bias = model.query_key_value_bias;
  const Site attention{layer, SiteKind::kAttentionInput};
  list.norm(names.attention_norm, {layer, SiteKind::kAttentionNorm}, hidden);
  list.linear(names.query, attention, queries, hidden, bias);
  list.linear(names.key, attention, keys, hidden, bias);
  list.linear(names.value, attention, keys, hidden, bias);
  list.linear(names.query_key_value, attention, queries + 2 * keys, hidden, bias);
  const bool full = model.full_width_query_norm;
  list.norm(names.query_norm, {layer, SiteKind::kQueryNorm}, full ? queries : head);
  list.norm(names.key_norm, {layer, SiteKind::kKeyNorm}, full ? keys : head);
  list.linear(names.attention_output, {layer, SiteKind::kAttentionOutput}, hidden, queries,
              model.output_bias);
  list.norm(names.attention_output_norm, {layer, SiteKind::kAttentionOutputNorm}, hidden);
  list.norm(names.mlp_norm, {layer, SiteKind::kMlpNorm}, hidden);
  list.norm(names.mlp_output_norm, {layer, SiteKind::kMlpOutputNorm}, hidden);
  if (model.layer(layer).experts) return add_experts(model, layer, list);
  const int64_t inner = model.intermediate_size;
  const Site input = mlp_input_site(model, layer);
  list.linear(names.gate, input, inner, hidden, model.mlp_bias);
  list.linear(names.up, input, inner, hidden, model.mlp_bias);
  list.linear(names.gate_up, input, 2 * inner, hidden, model.mlp_bias);
  list.linear(names.down, {layer, SiteKind::kMlpHidden}, hidden, inner, model.mlp_bias);
}

}  // namespace

Site mlp_input_site(const ModelConfiguration& model, int64_t layer) {
  const bool shared = model.parallel_residual && model.names().mlp_norm.empty();
  return {layer, shared ? SiteKind::kAttentionInput : SiteKind::kMlpInput};
}

std::map<std::string, Parameter> model_parameters(const ModelConfiguration& model) {
  const TensorNames& names = model.names();
  const int64_t hidden = model.hidden_size;
  ParameterList list(model);
  const Site head{model.layer_count(), SiteKind::kHeadInput};
  Parameter embedding{.kind = ParameterKind::kEmbedding,
                      .site = {-1, SiteKind::kEmbedding},
                      .shape = {model.vocabulary, hidden}};
  if (model.tied_head) {
    embedding.kind = ParameterKind::kTiedEmbedding;
    embedding.head = head;
  }
  list.add(embedding_name(model), embedding);
  if (model.positions > 0) {
    list.add(
        names.position_embedding + ".weight",
        {ParameterKind::kEmbedding, {-1, SiteKind::kPositionEmbedding}, {model.positions, hidden}});
  }
  for (int64_t layer = 0; layer < model.layer_count(); ++layer) add_layer(model, layer, list);
  list.norm(names.final_norm, {model.layer_count(), SiteKind::kFinalNorm}, hidden);
  if (!model.tied_head)
    list.add(head_name(model), {ParameterKind::kLinear, head, {model.vocabulary, hidden}});
  if (model.head_bias)
    list.add(names.head + ".bias", {ParameterKind::kBias, head, {model.vocabulary}});
  return std::move(list.parameters);
}

bool ModelMap::is_tied_head(const Site& site) const {
  return !tied_embedding.empty() && parameters.at(tied_embedding).head == site;
}

ModelMap map_model(const ModelConfiguration& model) {
  ModelMap map{.family = model.family,
               .architecture = model.architecture,
               .parameters = model_parameters(model),
               .experts = model.experts.count};
  if (model.tied_head) {
    map.tied_embedding = embedding_name(model);
    map.tied_head = head_name(model);
  }
  return map;
}

PairHints pair_hints(const ModelMap& model) {
  PairHints hints{.embedding = model.tied_embedding, .head = model.tied_head};
  for (const auto& [name, parameter] : model.parameters) {
    const SiteKind kind = parameter.site.kind;
    if (kind == SiteKind::kEmbedding || kind == SiteKind::kHeadInput) hints.vocabulary.insert(name);
  }
  if (!hints.head.empty()) hints.vocabulary.insert(hints.head);
  return hints;
}

std::map<Site, int64_t> parameter_sites(const std::map<std::string, Parameter>& parameters) {
  std::map<Site, int64_t> result;
  for (const auto& [name, parameter] : parameters) {
    if (parameter.kind == ParameterKind::kBias) continue;
    // A linear module's input are its columns; a gain's and an embedding's are the rows.
    const bool linear = parameter.kind == ParameterKind::kLinear;
    const int64_t channels =
        linear && !parameter.transposed ? parameter.shape.back() : parameter.shape.front();
    for (int64_t i = 0; i < std::max<int64_t>(1, parameter.experts); ++i)
      result[parameter.experts > 0 ? parameter.expert_site(i) : parameter.site] = channels;
    if (parameter.head) result[*parameter.head] = parameter.shape.back();
  }
  return result;
}

std::map<Site, int64_t> model_sites(const ModelConfiguration& model) {
  return parameter_sites(model_parameters(model));
}

namespace {

void choose_layout(ModelConfiguration& model, const Checkpoint& checkpoint) {
  size_t best = 0;
  int64_t most = std::numeric_limits<int64_t>::min();
  for (model.layout = 0; model.layout < model.layouts.size(); ++model.layout) {
    int64_t found = 0;  // and not missing
    for (const auto& [name, parameter] : model_parameters(model))
      found += checkpoint.find(name) ? 1 : -1;
    if (found > most) {
      most = found;
      best = model.layout;
    }
  }
  model.layout = best;
}

}  // namespace

void match_parameters(ModelConfiguration& model, const Checkpoint& checkpoint) {
  choose_layout(model, checkpoint);
  // Every family has this module in every layer.
  const std::string beyond =
      name_in_layer(model.names().attention_output, model.layer_count()) + ".weight";
  if (const StoredTensor stored = checkpoint.find(beyond))
    throw InputError(stored.where(),
                     fmt::format("config.json asks for {} layers only", model.layer_count()));
  for (const auto& [name, parameter] : model_parameters(model)) {
    const StoredTensor stored = checkpoint.find(name);
    if (!stored) {
      throw InputError(
          checkpoint.path().string(),
          fmt::format("tensor {} is missing, which config.json asks for", quote(name)));
    }
    if (stored.info->shape != parameter.shape) {
      throw InputError(stored.where(),
                       fmt::format("shape {}, but config.json asks for {}",
                                   shape_text(stored.info->shape), shape_text(parameter.shape)));
    }
    if (!is_computable(stored.info->dtype)) {
      throw InputError(stored.where(), fmt::format("dtype {}; expected F32, BF16, F16, F64 or F8",
                                                   dtype_name(stored.info->dtype)));
    }
  }
}

}  // namespace sagesan
