#include <algorithm>

#include "sagesan/model/family.h"

namespace sagesan {

void check_experts(const JsonObject& config, const ModelConfiguration& model) {
  constexpr int64_t kMostExperts = int64_t{1} << 17;  // of all layers
  const ExpertsConfiguration& experts = model.experts;
  if (experts.count > kMostExperts / model.layer_count())
    config.fail("num_experts", "too many to be true");
  if (std::max(experts.intermediate_size, experts.shared_intermediate_size) > kMaxSize)
    config.fail("moe_intermediate_size", "too many to be true");
  if (experts.count > 0 && experts.per_token > experts.count)
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
