#include "sagesan/model/family.h"

namespace sagesan {

void check_experts(const JsonObject& config, const ExpertsConfiguration& experts) {
  constexpr int64_t kMostExperts = 4096;
  if (experts.count > kMostExperts) config.fail("num_experts", "too many to be true");
  if (experts.per_token > experts.count)
    config.fail("num_experts_per_tok", "more than there are experts");
}

TensorNames with_fused_experts(TensorNames names) {
  names.router = "model.layers.{}.mlp.gate";
  names.expert_gate = names.expert_up = names.expert_down = "";
  names.experts_gate_up = "model.layers.{}.mlp.experts.gate_up_proj";
  names.experts_down = "model.layers.{}.mlp.experts.down_proj";
  return names;
}

}  // namespace sagesan
