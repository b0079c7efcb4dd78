#include "sagesan/model/family.h"

namespace sagesan {

// Mistral 7B and Zephyr: Llama whose every layer may look back through a window
// (transformers: models/mistral).
ModelConfiguration configure_mistral(const JsonObject& config) {
  ModelConfiguration model = read_common_configuration(config);
  // Absent, the family's default is 4096; null, there is no window.
  if (config.contains("sliding_window")) {
    model.windows.assign(model.windows.size(), config.integer_or("sliding_window", 0));
  } else {
    model.windows.assign(model.windows.size(), 4096);
  }
  return model;
}

}  // namespace sagesan
