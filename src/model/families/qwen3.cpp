#include "sagesan/model/family.h"

namespace sagesan {

// Qwen3: Qwen2 with a norm on every head's query and key, and without q, k and v biases
// (transformers: models/qwen3).
ModelConfiguration configure_qwen3(const JsonObject& config) {
  ModelConfiguration model = read_common_configuration(config, {.default_head_dimension = 128});
  model.ropes = {read_rope(config, model.head_dimension)};
  read_attention_bias(config, false, model);
  set_qwen_windows(config, model);
  TensorNames& names = model.layouts[0];
  names.query_norm = "model.layers.{}.self_attn.q_norm";
  names.key_norm = "model.layers.{}.self_attn.k_norm";
  return model;
}

}  // namespace sagesan
