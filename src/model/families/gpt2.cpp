#include "sagesan/model/family.h"

namespace sagesan {
namespace {

TensorNames gpt2_names(const std::string& prefix) {
  TensorNames names;
  names.embedding = prefix + "wte";
  names.position_embedding = prefix + "wpe";
  names.final_norm = prefix + "ln_f";
  names.attention_norm = prefix + "h.{}.ln_1";
  names.query = names.key = names.value = "";
  names.query_key_value = prefix + "h.{}.attn.c_attn";
  names.attention_output = prefix + "h.{}.attn.c_proj";
  names.mlp_norm = prefix + "h.{}.ln_2";
  names.gate = "";
  names.up = prefix + "h.{}.mlp.c_fc";
  names.down = prefix + "h.{}.mlp.c_proj";
  return names;
}

}  // namespace

// GPT-2: LayerNorms, learned positions, weights stored `[in, out]`, a tied head; some checkpoints
// leave the prefix "transformer." out (transformers: models/gpt2).
ModelConfiguration configure_gpt2(const JsonObject& config) {
  const int64_t hidden = config.integer("n_embd", 1, kMaxSize);
  ModelConfiguration model =
      read_common_configuration(config, {.hidden_size = "n_embd",
                                         .intermediate_size = "n_inner",
                                         .layers = "n_layer",
                                         .heads = "n_head",
                                         .norm_epsilon = "layer_norm_epsilon",
                                         .activation = "activation_function",
                                         .default_norm_epsilon = 1e-5,
                                         .default_activation = "gelu_new",
                                         .default_tied_head = true,
                                         .default_intermediate_size = 4 * hidden});
  if (config.boolean_or("add_cross_attention", false))
    config.fail("add_cross_attention", "is not supported: the model must be a decoder alone");
  model.positions = config.integer_or("n_positions", 1024);
  model.norm = NormKind::kLayer;
  model.transposed = true;
  model.query_key_value_bias = model.output_bias = model.mlp_bias = true;
  for (size_t i = 0; i < model.layers.size(); ++i) {
    double& scale = model.layers[i].attention_scale;
    if (!config.boolean_or("scale_attn_weights", true)) scale = 1;
    if (config.boolean_or("scale_attn_by_inverse_layer_idx", false))
      scale /= static_cast<double>(i + 1);
  }
  model.layouts = {gpt2_names("transformer."), gpt2_names("")};
  return model;
}

}  // namespace sagesan
