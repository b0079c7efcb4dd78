#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace sagesan {

/// One module of one expert, and where it stands in a tensor `[experts, rows, columns]` of all.
struct ExpertName {
  std::string fused;  ///< "layers.0.mlp.experts.gate_up_proj", as `canonical_module`
  int64_t expert = 0;
  int64_t part = 0;  ///< which of the `parts` that the fused tensor has for each expert
  int64_t parts = 1;
};

/// "layers.0.mlp.gate.weight" of "model.layers.0.block_sparse_moe.gate.weight": as
/// `canonical_name`, with Mixtral's names for its mixture of experts as the other families have
/// them.
std::string canonical_module(const std::string& name);

/// Of a name as `canonical_module` gives it: "layers.0.mlp.experts.3.up_proj.weight" is part 1 of
/// 2 of expert 3 (gate_proj is part 0); nothing where it is no expert's.
std::optional<ExpertName> parse_expert_name(const std::string& canonical);

}  // namespace sagesan
