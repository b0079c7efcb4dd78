#include <algorithm>

#include "sagesan/model/family.h"

namespace sagesan {

// Qwen2 and Qwen2.5: biases on q, k and v alone; a window only where `use_sliding_window` asks for
// it, from layer `max_window_layers` on (transformers: models/qwen2).
ModelConfiguration configure_qwen2(const JsonObject& config) {
  ModelConfiguration model = read_common_configuration(config);
  model.query_key_value_bias = true;
  if (config.boolean_or("use_sliding_window", false)) {
    const int64_t window =
        config.integer_or("sliding_window", config.contains("sliding_window") ? 0 : 4096);
    const int64_t first = config.integer_or("max_window_layers", 28, 0);
    for (int64_t layer = std::min(first, model.layers); layer < model.layers; ++layer) {
      model.windows[static_cast<size_t>(layer)] = window;
    }
  }
  return model;
}

}  // namespace sagesan
