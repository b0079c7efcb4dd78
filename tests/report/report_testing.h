#pragma once

#include "sagesan/report/sanitize_report.h"

namespace sagesan::testing {

/// A report with one tensor of each sort, and every optional figure in at least one of them.
inline SanitizeReport sample_report() {
  SanitizeReport report;
  report.options.strength = 1;
  report.options.include = {"proj"};
  report.options.retain_fields = {"question", "answer"};
  report.family = "llama";
  report.architecture = "LlamaForCausalLM";
  report.base_identity = "b0";
  report.base_configuration = "c0";
  report.unlearned_identity = "u0";
  report.routers = {"router.weight"};
  report.retain_files = {{.name = "retain.jsonl", .hash = "h0", .records = 5, .tokens = 100}};
  report.tokens = 100;
  report.tensors_total = 12;
  report.tensors_from_base = 1;
  report.layers_run = 2;
  report.sites["layers.0.attention_input"] = {
      .tokens = 100,
      .channels = 32,
      .rank = 20,
      .energy_share = 0.96,
      .leading_share = 0.25,
      .largest_token_share = 0.03,
      .residual = 1e-9,
      .eigenvalue_shares = {{1, 0.25}, {2, 0.125}, {20, 0.01}, {32, 1e-4}}};
  report.sites["layers.1.mlp_norm"] = {.tokens = 100, .channels = 32};
  report.tensors.push_back({.name = "layers.0.q_proj.weight",
                            .kind = "linear",
                            .treatment = "solved",
                            .site = "layers.0.attention_input",
                            .dtype = "F32",
                            .shape = {32, 32},
                            .rank = 20,
                            .energy_share = 0.96,
                            .strength = 1,
                            .bias_before = 0.004,
                            .bias_after = 0.001,
                            .norm_before = 4,
                            .norm_after = 3,
                            .survival = Survival{.stored = 1, .int8 = 0.9, .int4 = 0.5}});
  report.tensors.push_back({.name = "layers.1.q_proj.weight",
                            .kind = "linear",
                            .treatment = "solved",
                            .site = "layers.1.attention_input",
                            .dtype = "F32",
                            .shape = {32, 32},
                            .bias_before = 0.008,
                            .bias_after = 0.003,
                            .target_reached = false,
                            .rounding_bias = 0.0001,
                            .channels_rolled_back = 3,
                            .channels_eligible = 32,
                            .norm_before = 3,
                            .norm_after = 4});
  report.tensors.push_back({.name = "embed.weight",
                            .kind = "tied_embedding",
                            .treatment = "solved",
                            .site = "embedding",
                            .dtype = "F32",
                            .shape = {64, 32},
                            .bias_before = 0.01,
                            .bias_after = 0.002,
                            .head_bias_before = 0.02,
                            .head_bias_after = 0.005});
  report.tensors.push_back({.name = "experts.weight[0]",
                            .kind = "linear",
                            .treatment = "kept",
                            .dtype = "BF16",
                            .shape = {8, 32},
                            .expert = 0});
  return report;
}

}  // namespace sagesan::testing
