#include <algorithm>
#include <nlohmann/json.hpp>

#include "sagesan/model/family.h"

namespace sagesan {
namespace {

/// What both share: which layers have experts, and how they are called.
void add_experts(const JsonObject& config, int64_t count, int64_t per_token,
                 int64_t intermediate_size, ModelConfiguration& model) {
  model.experts = {
      // transformers 5 writes Qwen3's under Mixtral's name.
      .count =
          config.integer_or("num_experts", config.integer_or("num_local_experts", count, 0), 0),
      .per_token = config.integer_or("num_experts_per_tok", per_token),
      .intermediate_size = config.integer_or("moe_intermediate_size", intermediate_size),
      .normalized_weights = config.boolean_or("norm_topk_prob", false)};
  const int64_t step = config.integer_or("decoder_sparse_step", 1);
  const Json* dense = config.find("mlp_only_layers");
  if (dense != nullptr && !dense->is_array()) config.fail("mlp_only_layers", "expected a list");
  for (int64_t i = 0; i < model.layer_count() && model.experts.count > 0; ++i) {
    const bool listed =
        dense != nullptr && std::find(dense->begin(), dense->end(), i) != dense->end();
    model.layers[static_cast<size_t>(i)].experts = !listed && (i + 1) % step == 0;
  }
  TensorNames& names = model.layouts[0];
  names.router = "model.layers.{}.mlp.gate";
  names.expert_gate = "model.layers.{}.mlp.experts.{}.gate_proj";
  names.expert_up = "model.layers.{}.mlp.experts.{}.up_proj";
  names.expert_down = "model.layers.{}.mlp.experts.{}.down_proj";
}

}  // namespace

// Qwen1.5-MoE and Qwen2-MoE: one more expert that sees every token, weighted by a gate of its own
// (transformers: models/qwen2_moe).
ModelConfiguration configure_qwen2_moe(const JsonObject& config) {
  ModelConfiguration model = read_common_configuration(config);
  model.ropes = {read_rope(config, model.head_dimension)};
  model.query_key_value_bias = config.boolean_or("qkv_bias", true);
  if (config.boolean_or("use_sliding_window", false)) {
    const int64_t last = config.integer_or("max_window_layers", 28, 0);
    set_windows(
        config, read_window(config, 4096),
        [=](int64_t layer) { return layer % 2 == 0 && layer < last; }, model);
  }
  add_experts(config, 60, 4, 1408, model);
  model.experts.shared_intermediate_size =
      config.integer_or("shared_expert_intermediate_size", 5632);
  TensorNames& names = model.layouts[0];
  names.shared_gate = "model.layers.{}.mlp.shared_expert.gate_proj";
  names.shared_up = "model.layers.{}.mlp.shared_expert.up_proj";
  names.shared_down = "model.layers.{}.mlp.shared_expert.down_proj";
  names.shared_router = "model.layers.{}.mlp.shared_expert_gate";
  check_experts(config, model);
  model.layouts.push_back(with_fused_experts(names));
  return model;
}

// Qwen3-MoE: Qwen3 with experts (transformers: models/qwen3_moe).
ModelConfiguration configure_qwen3_moe(const JsonObject& config) {
  ModelConfiguration model = read_common_configuration(config);
  model.ropes = {read_rope(config, model.head_dimension)};
  read_attention_bias(config, false, model);
  if (config.boolean_or("use_sliding_window", false)) set_window(read_window(config, 4096), model);
  add_experts(config, 128, 8, 768, model);
  check_experts(config, model);
  TensorNames& names = model.layouts[0];
  names.query_norm = "model.layers.{}.self_attn.q_norm";
  names.key_norm = "model.layers.{}.self_attn.k_norm";
  model.layouts.push_back(with_fused_experts(names));
  return model;
}

}  // namespace sagesan
