#include "sagesan/model/family.h"

namespace sagesan {

// Mistral 7B and Zephyr: Llama whose every layer may look back through a window
// (transformers: models/mistral).
ModelConfiguration configure_mistral(const JsonObject& config) {
  ModelConfiguration model = read_common_configuration(config);
  model.ropes = {read_rope(config, model.head_dimension)};
  set_windows(
      config, read_window(config, 4096), [](int64_t) { return true; }, model);
  return model;
}

}  // namespace sagesan
