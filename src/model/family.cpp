#include "sagesan/model/family.h"

namespace sagesan {

std::span<const Family> families() {
  static constexpr Family kFamilies[] = {
      {"llama", "LlamaForCausalLM", configure_llama},
      {"mistral", "MistralForCausalLM", configure_mistral},
      {"qwen2", "Qwen2ForCausalLM", configure_qwen2},
      {"qwen3", "Qwen3ForCausalLM", configure_qwen3},
      {"phi", "PhiForCausalLM", configure_phi},
      {"phi3", "Phi3ForCausalLM", configure_phi3},
      {"gemma", "GemmaForCausalLM", configure_gemma},
      {"gemma2", "Gemma2ForCausalLM", configure_gemma2},
      {"gemma3", "Gemma3ForCausalLM", configure_gemma3},
      {"olmo2", "Olmo2ForCausalLM", configure_olmo2},
      {"gpt_neox", "GPTNeoXForCausalLM", configure_gpt_neox},
      {"gpt2", "GPT2LMHeadModel", configure_gpt2},
      {"mixtral", "MixtralForCausalLM", configure_mixtral},
      {"qwen2_moe", "Qwen2MoeForCausalLM", configure_qwen2_moe},
      {"qwen3_moe", "Qwen3MoeForCausalLM", configure_qwen3_moe},
  };
  return kFamilies;
}

}  // namespace sagesan
