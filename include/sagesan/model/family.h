#pragma once

#include <span>
#include <string_view>

#include "sagesan/model/configuration.h"

namespace sagesan {

/// One model family: its own file in src/model/families/ and one row of the table in family.cpp.
struct Family {
  std::string_view name;
  std::string_view architecture;  ///< as in config.json's `architectures`
  std::string_view models;        ///< that people know it by, separated by ", "
  std::string_view real_weights;  ///< of these models those whose own weights were run, likewise
  ModelConfiguration (*configure)(const JsonObject& config);
};

std::span<const Family> families();

ModelConfiguration configure_llama(const JsonObject& config);
ModelConfiguration configure_mistral(const JsonObject& config);
ModelConfiguration configure_qwen2(const JsonObject& config);
ModelConfiguration configure_qwen3(const JsonObject& config);
ModelConfiguration configure_phi(const JsonObject& config);
ModelConfiguration configure_phi3(const JsonObject& config);
ModelConfiguration configure_gemma(const JsonObject& config);
ModelConfiguration configure_gemma2(const JsonObject& config);
ModelConfiguration configure_gemma3(const JsonObject& config);
ModelConfiguration configure_olmo2(const JsonObject& config);
ModelConfiguration configure_gpt_neox(const JsonObject& config);
ModelConfiguration configure_gpt2(const JsonObject& config);
ModelConfiguration configure_mixtral(const JsonObject& config);
ModelConfiguration configure_qwen2_moe(const JsonObject& config);
ModelConfiguration configure_qwen3_moe(const JsonObject& config);

// What several families share.

/// `attention_bias`: biases on q, k, v and the attention's output, or on none of them.
void read_attention_bias(const JsonObject& config, bool otherwise, ModelConfiguration& model);
/// Windows where `use_sliding_window` asks for them, from layer `max_window_layers` on.
void set_qwen_windows(const JsonObject& config, ModelConfiguration& model);
/// Throws where the numbers of experts contradict each other or are absurd.
void check_experts(const JsonObject& config, const ModelConfiguration& model);
/// The same names with all experts of a layer in two tensors, as transformers 5 has them in memory.
TensorNames with_fused_experts(TensorNames names);

}  // namespace sagesan
