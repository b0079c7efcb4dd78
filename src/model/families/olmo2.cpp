#include "sagesan/model/family.h"

namespace sagesan {

// OLMo-2: norms behind attention and MLP instead of before them, and over all heads of the queries
// and keys at once (transformers: models/olmo2).
ModelConfiguration configure_olmo2(const JsonObject& config) {
  ModelConfiguration model = read_common_configuration(config, {.default_norm_epsilon = 1e-5});
  model.ropes = {read_rope(config, model.head_dimension)};
  read_attention_bias(config, false, model);
  model.full_width_query_norm = true;
  TensorNames& names = model.layouts[0];
  names.attention_norm = "";
  names.query_norm = "model.layers.{}.self_attn.q_norm";
  names.key_norm = "model.layers.{}.self_attn.k_norm";
  names.attention_output_norm = "model.layers.{}.post_attention_layernorm";
  names.mlp_norm = "";
  names.mlp_output_norm = "model.layers.{}.post_feedforward_layernorm";
  return model;
}

}  // namespace sagesan
