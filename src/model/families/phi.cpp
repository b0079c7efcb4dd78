#include "sagesan/model/family.h"

namespace sagesan {

// Phi-1, Phi-1.5 and Phi-2: one LayerNorm feeds attention and MLP side by side, biases everywhere,
// the head too; half of a head's channels are rotated (transformers: models/phi).
ModelConfiguration configure_phi(const JsonObject& config) {
  ModelConfiguration model = read_common_configuration(config, {.norm_epsilon = "layer_norm_eps",
                                                                .default_norm_epsilon = 1e-5,
                                                                .default_activation = "gelu_new"});
  model.ropes = {read_rope(config, model.head_dimension, {.rotated_share = 0.5})};
  model.norm = NormKind::kLayer;
  model.parallel_residual = true;
  model.query_key_value_bias = model.output_bias = model.mlp_bias = model.head_bias = true;
  TensorNames& names = model.layouts[0];
  names.final_norm = "model.final_layernorm";
  names.attention_output = "model.layers.{}.self_attn.dense";
  names.mlp_norm = "";
  names.gate = "";
  names.up = "model.layers.{}.mlp.fc1";
  names.down = "model.layers.{}.mlp.fc2";
  if (config.boolean_or("qk_layernorm", false)) {
    names.query_norm = "model.layers.{}.self_attn.q_layernorm";
    names.key_norm = "model.layers.{}.self_attn.k_layernorm";
  }
  return model;
}

}  // namespace sagesan
