#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "sagesan/checkpoint/name_patterns.h"

namespace sagesan {

/// `adapter_config.json` of a LoRA adapter: what decides the merged weights (peft:
/// tuners/lora/config.py `LoraConfig`).
struct AdapterConfiguration {
  int64_t r = 0;
  double alpha = 0;
  bool use_rslora = false;
  /// Of transformers' Conv1D, whose weight is `[in, out]`. peft lets the class of the base's module
  /// decide, and saves what the last module was (tuners/lora/layer.py `dispatch_default`).
  bool fan_in_fan_out = false;
  bool use_dora = false;
  bool lora_bias = false;
  bool biases = false;  ///< bias "all" or "lora_only": bias vectors are stored whole
  std::vector<std::string> modules_to_save;
  std::vector<std::string> target_parameters;
  /// In the order of the file, which decides where two expressions match.
  NamePatterns rank_pattern, alpha_pattern;
  int64_t routes = 0;        ///< HydraLoRA's lora_nums, factors B of each module; 0: not said
  std::string peft_version;  ///< empty where the file does not say

  /// One line each: keys that this version does not know and whose value says something.
  std::vector<std::string> notices;

  /// Rank of the module (or targeted parameter) that peft names `key`: the first expression of
  /// `rank_pattern` with a match of `(.*\.)?(expression)$` at the start of `key`, else `r` (peft:
  /// utils/other.py `get_pattern_key`).
  int64_t rank(const std::string& key) const;
  /// What the product B A is multiplied with: alpha / rank, or alpha / sqrt(rank) with rslora,
  /// alpha found as the rank is (tuners/lora/layer.py `LoraLayer.update_layer`).
  double scaling(const std::string& key) const;

  std::filesystem::path path;  ///< the file, for messages
};

/// Reads and checks the file. Throws `InputError` that names file and key for what is malformed,
/// for adapters that are no LoRA, and for every option that is known to change the merged weights
/// in a way that is not supported: never approximated. Keys that are not known are among the
/// notices.
AdapterConfiguration read_adapter_configuration(const std::filesystem::path& path);

}  // namespace sagesan
