#include "sagesan/model/names.h"

#include <fmt/format.h>

namespace sagesan {

TensorNames TensorNames::with_prefix(const std::string& from, const std::string& to) const {
  TensorNames result = *this;
  for (std::string TensorNames::*name : {&TensorNames::embedding,
                                         &TensorNames::position_embedding,
                                         &TensorNames::final_norm,
                                         &TensorNames::head,
                                         &TensorNames::attention_norm,
                                         &TensorNames::query,
                                         &TensorNames::key,
                                         &TensorNames::value,
                                         &TensorNames::query_key_value,
                                         &TensorNames::query_norm,
                                         &TensorNames::key_norm,
                                         &TensorNames::attention_output,
                                         &TensorNames::attention_output_norm,
                                         &TensorNames::mlp_norm,
                                         &TensorNames::gate,
                                         &TensorNames::up,
                                         &TensorNames::gate_up,
                                         &TensorNames::down,
                                         &TensorNames::mlp_output_norm,
                                         &TensorNames::router,
                                         &TensorNames::expert_gate,
                                         &TensorNames::expert_up,
                                         &TensorNames::expert_down,
                                         &TensorNames::experts_gate_up,
                                         &TensorNames::experts_down,
                                         &TensorNames::shared_gate,
                                         &TensorNames::shared_up,
                                         &TensorNames::shared_down,
                                         &TensorNames::shared_router}) {
    std::string& text = result.*name;
    if (text.starts_with(from)) text.replace(0, from.size(), to);
  }
  return result;
}

std::string name_in_layer(const std::string& pattern, int64_t layer, int64_t expert) {
  return fmt::format(fmt::runtime(pattern), layer, expert);
}

}  // namespace sagesan
