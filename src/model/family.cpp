#include "sagesan/model/family.h"

namespace sagesan {

std::span<const Family> families() {
  static constexpr Family kFamilies[] = {
      {"llama", "LlamaForCausalLM", configure_llama},
      {"mistral", "MistralForCausalLM", configure_mistral},
      {"qwen2", "Qwen2ForCausalLM", configure_qwen2},
  };
  return kFamilies;
}

}  // namespace sagesan
