#include <nlohmann/json.hpp>

#include "sagesan/model/family.h"

namespace sagesan {

// Phi-3, Phi-3.5 and Phi-4-mini: Llama with q, k and v in one module, gate and up in another, and
// RoPE scaled by long and short factors (transformers: models/phi3).
ModelConfiguration configure_phi3(const JsonObject& config) {
  ModelConfiguration model = read_common_configuration(config, {.default_norm_epsilon = 1e-5});
  const Json* given = find_rope(config);
  Json rope = given != nullptr ? *given : Json::object();
  // An early name of the same scaling in this family.
  for (const char* key : {"type", "rope_type"}) {
    if (rope.is_object() && rope.contains(key) && rope[key] == "yarn") rope[key] = "longrope";
  }
  model.ropes = {read_rope(config, &rope, model.head_dimension, {.original_positions = 4096})};
  set_window(read_window(config, 0), model);
  TensorNames& names = model.layouts[0];
  names.query = names.key = names.value = "";
  names.query_key_value = "model.layers.{}.self_attn.qkv_proj";
  names.gate = names.up = "";
  names.gate_up = "model.layers.{}.mlp.gate_up_proj";
  return model;
}

}  // namespace sagesan
