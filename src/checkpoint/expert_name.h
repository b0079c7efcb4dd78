#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sagesan {

/// A parameter of all experts, and the modules of one expert that it consists of, in the order of
/// its rows (transformers: conversion_mapping.py "qwen2_moe", "mixtral").
struct FusedParameter {
  std::string_view name;
  std::vector<std::string_view> modules;
};
const std::vector<FusedParameter>& fused_parameters();

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
