#include "sagesan/model/family.h"

namespace sagesan {

// Mixtral: Mistral with experts in every layer (transformers: models/mixtral). Its files hold the
// experts one by one; transformers 5 has them fused in memory.
ModelConfiguration configure_mixtral(const JsonObject& config) {
  ModelConfiguration model = read_common_configuration(config, {.default_norm_epsilon = 1e-5});
  model.ropes = {read_rope(config, model.head_dimension, {.theta = 1e6})};
  set_window(read_window(config, 0), model);
  model.experts = {.count = config.integer_or("num_local_experts", 8),
                   .per_token = config.integer_or("num_experts_per_tok", 2),
                   .intermediate_size = model.intermediate_size};
  check_experts(config, model);
  for (LayerConfiguration& layer : model.layers) layer.experts = true;
  TensorNames& names = model.layouts[0];
  names.router = "model.layers.{}.block_sparse_moe.gate";
  names.expert_gate = "model.layers.{}.block_sparse_moe.experts.{}.w1";
  names.expert_up = "model.layers.{}.block_sparse_moe.experts.{}.w3";
  names.expert_down = "model.layers.{}.block_sparse_moe.experts.{}.w2";
  model.layouts.push_back(with_fused_experts(names));
  return model;
}

}  // namespace sagesan
