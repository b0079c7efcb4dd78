#include <cmath>
#include <nlohmann/json.hpp>

#include "sagesan/model/family.h"

namespace sagesan {
namespace {

/// What all Gemmas share: gains that are added to 1, embeddings scaled up, a tied head.
ModelConfiguration configure_any_gemma(const JsonObject& config, const char* activation) {
  ModelConfiguration model =
      read_common_configuration(config, {.activation = activation,
                                         .default_activation = "gelu_pytorch_tanh",
                                         .default_tied_head = true,
                                         .default_head_dimension = 256});
  model.norm = NormKind::kRmsPlusOne;
  model.embedding_scale = std::sqrt(static_cast<double>(model.hidden_size));
  read_attention_bias(config, false, model);
  if (config.boolean_or("use_bidirectional_attention", false))
    config.fail("use_bidirectional_attention", "is not supported: the model must be causal");
  return model;
}

/// What Gemma 2 and 3 share: norms before and after both halves of a layer, softcaps, windows in
/// all layers but each `pattern`-th one.
ModelConfiguration configure_later_gemma(const JsonObject& config, int64_t pattern,
                                         double attention_softcap, double head_softcap) {
  ModelConfiguration model = configure_any_gemma(config, "hidden_activation");
  const double scalar = config.number_or("query_pre_attn_scalar", 256);
  if (!(scalar > 0)) config.fail("query_pre_attn_scalar", "expected a positive number");
  for (LayerConfiguration& layer : model.layers) layer.attention_scale = 1 / std::sqrt(scalar);
  const auto softcap = [&](const char* key, double otherwise) {
    // null is none; absent, the family's default.
    return config.contains(key) ? config.number_or(key, 0) : otherwise;
  };
  model.attention_softcap = softcap("attn_logit_softcapping", attention_softcap);
  model.head_softcap = softcap("final_logit_softcapping", head_softcap);
  set_windows(
      config, read_window(config, 4096), [=](int64_t layer) { return (layer + 1) % pattern != 0; },
      model);
  TensorNames& names = model.layouts[0];
  names.attention_output_norm = "model.layers.{}.post_attention_layernorm";
  names.mlp_norm = "model.layers.{}.pre_feedforward_layernorm";
  names.mlp_output_norm = "model.layers.{}.post_feedforward_layernorm";
  return model;
}

}  // namespace

// Gemma 1 (transformers: models/gemma). It was trained with the tanh form of GELU, which early
// configurations call "gelu".
ModelConfiguration configure_gemma(const JsonObject& config) {
  const bool named = config.find("hidden_activation") != nullptr;
  ModelConfiguration model =
      configure_any_gemma(config, named ? "hidden_activation" : "hidden_act");
  if (!named && model.activation == Activation::kGelu) model.activation = Activation::kGeluTanh;
  model.ropes = {read_rope(config, model.head_dimension)};
  return model;
}

// Gemma 2 (transformers: models/gemma2).
ModelConfiguration configure_gemma2(const JsonObject& config) {
  ModelConfiguration model = configure_later_gemma(config, 2, 50, 30);
  model.ropes = {read_rope(config, model.head_dimension)};
  return model;
}

// Gemma 3's text models: norms on queries and keys; layers with a window have a RoPE of their own
// (transformers: models/gemma3).
ModelConfiguration configure_gemma3(const JsonObject& config) {
  const int64_t pattern = config.integer_or("sliding_window_pattern", 6);
  ModelConfiguration model = configure_later_gemma(config, pattern, 0, 0);
  const Json* parameters = config.find("rope_parameters");
  const Json* full = find_rope(config);
  Json sliding = Json::object();
  if (parameters != nullptr) {
    const JsonObject by_type(*parameters, config.where() + ": rope_parameters");
    full = &by_type.require("full_attention");
    sliding = by_type.require("sliding_attention");
  }
  // Its own, or config.json's rope_theta would be taken, which is that of the other layers.
  if (sliding.is_object() && !sliding.contains("rope_theta"))
    sliding["rope_theta"] = config.number_or("rope_local_base_freq", 10000);
  const bool by_layer_type = parameters != nullptr;
  model.ropes = {
      read_rope(config, full, model.head_dimension,
                {.theta = config.number_or("rope_theta", 1e6), .by_layer_type = by_layer_type}),
      read_rope(config, &sliding, model.head_dimension, {.by_layer_type = by_layer_type})};
  for (LayerConfiguration& layer : model.layers) layer.rope = layer.window > 0 ? 1 : 0;
  TensorNames& names = model.layouts[0];
  names.query_norm = "model.layers.{}.self_attn.q_norm";
  names.key_norm = "model.layers.{}.self_attn.k_norm";
  return model;
}

}  // namespace sagesan
