#include "sagesan/model/family.h"

namespace sagesan {

// Qwen2 and Qwen2.5: biases on q, k and v alone; a window only where `use_sliding_window` asks for
// it, from layer `max_window_layers` on (transformers: models/qwen2).
ModelConfiguration configure_qwen2(const JsonObject& config) {
  ModelConfiguration model = read_common_configuration(config);
  model.ropes = {read_rope(config, model.head_dimension)};
  model.query_key_value_bias = true;
  set_qwen_windows(config, model);
  return model;
}

void set_qwen_windows(const JsonObject& config, ModelConfiguration& model) {
  if (!config.boolean_or("use_sliding_window", false)) return;
  const int64_t first = config.integer_or("max_window_layers", 28, 0);
  set_windows(
      config, read_window(config, 4096), [=](int64_t layer) { return layer >= first; }, model);
}

}  // namespace sagesan
