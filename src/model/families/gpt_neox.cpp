#include "sagesan/model/family.h"

namespace sagesan {

// GPT-NeoX and Pythia: LayerNorms, q, k and v interleaved in one module, attention and MLP side by
// side but each with a norm of its own, a quarter of a head's channels rotated
// (transformers: models/gpt_neox).
ModelConfiguration configure_gpt_neox(const JsonObject& config) {
  ModelConfiguration model = read_common_configuration(config, {.norm_epsilon = "layer_norm_eps",
                                                                .default_norm_epsilon = 1e-5,
                                                                .default_activation = "gelu"});
  model.ropes = {read_rope(config, model.head_dimension,
                           {.theta = config.number_or("rotary_emb_base", 10000),
                            .rotated_share = config.number_or("rotary_pct", 0.25)})};
  model.norm = NormKind::kLayer;
  model.key_value_heads = model.heads;  // whatever the configuration says
  model.parallel_residual = config.boolean_or("use_parallel_residual", true);
  read_attention_bias(config, true, model);
  model.mlp_bias = true;
  model.fused_layout = FusedLayout::kInterleaved;
  TensorNames& names = model.layouts[0];
  names.embedding = "gpt_neox.embed_in";
  names.final_norm = "gpt_neox.final_layer_norm";
  names.head = "embed_out";
  names.attention_norm = "gpt_neox.layers.{}.input_layernorm";
  names.query = names.key = names.value = "";
  names.query_key_value = "gpt_neox.layers.{}.attention.query_key_value";
  names.attention_output = "gpt_neox.layers.{}.attention.dense";
  names.mlp_norm = "gpt_neox.layers.{}.post_attention_layernorm";
  names.gate = "";
  names.up = "gpt_neox.layers.{}.mlp.dense_h_to_4h";
  names.down = "gpt_neox.layers.{}.mlp.dense_4h_to_h";
  // As transformers 5 has it in memory; what it saves has the old name.
  TensorNames in_memory = names;
  in_memory.head = "lm_head";
  model.layouts.push_back(in_memory);
  return model;
}

}  // namespace sagesan
