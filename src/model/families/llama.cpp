#include "sagesan/model/family.h"

namespace sagesan {

// Llama 1 to 3.x, SmolLM2, TinyLlama (transformers: models/llama).
ModelConfiguration configure_llama(const JsonObject& config) {
  ModelConfiguration model = read_common_configuration(config);
  model.ropes = {read_rope(config, model.head_dimension)};
  read_attention_bias(config, false, model);
  model.mlp_bias = config.boolean_or("mlp_bias", false);
  return model;
}

}  // namespace sagesan
