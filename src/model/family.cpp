#include "sagesan/model/family.h"

namespace sagesan {

std::span<const Family> families() {
  static constexpr Family kFamilies[] = {
      {"llama", "LlamaForCausalLM", "Llama 1 to 3.x, SmolLM2, TinyLlama", "SmolLM2-135M",
       configure_llama},
      {"mistral", "MistralForCausalLM", "Mistral 7B, Zephyr", "", configure_mistral},
      {"qwen2", "Qwen2ForCausalLM", "Qwen2, Qwen2.5", "", configure_qwen2},
      {"qwen3", "Qwen3ForCausalLM", "Qwen3", "", configure_qwen3},
      {"phi", "PhiForCausalLM", "Phi-1, Phi-1.5, Phi-2", "", configure_phi},
      {"phi3", "Phi3ForCausalLM", "Phi-3, Phi-3.5-mini, Phi-4, Phi-4-mini", "", configure_phi3},
      {"gemma", "GemmaForCausalLM", "Gemma", "", configure_gemma},
      {"gemma2", "Gemma2ForCausalLM", "Gemma 2", "", configure_gemma2},
      {"gemma3", "Gemma3ForCausalLM", "Gemma 3 270M, Gemma 3 1B", "", configure_gemma3},
      {"olmo2", "Olmo2ForCausalLM", "OLMo 2", "", configure_olmo2},
      {"gpt_neox", "GPTNeoXForCausalLM", "GPT-NeoX-20B, Pythia", "", configure_gpt_neox},
      {"gpt2", "GPT2LMHeadModel", "GPT-2, DistilGPT-2", "", configure_gpt2},
      {"mixtral", "MixtralForCausalLM", "Mixtral 8x7B, Mixtral 8x22B", "", configure_mixtral},
      {"qwen2_moe", "Qwen2MoeForCausalLM", "Qwen1.5-MoE, Qwen2-57B-A14B", "", configure_qwen2_moe},
      {"qwen3_moe", "Qwen3MoeForCausalLM", "Qwen3-30B-A3B, Qwen3-235B-A22B", "",
       configure_qwen3_moe},
  };
  return kFamilies;
}

}  // namespace sagesan
