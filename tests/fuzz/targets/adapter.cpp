#include "sagesan/checkpoint/adapter.h"

#include "fuzz/fuzz.h"
#include "sagesan/checkpoint/adapter_configuration.h"
#include "sagesan/checkpoint/adapter_match.h"
#include "sagesan/checkpoint/safetensors_writer.h"

// An adapter's configuration beside weights that fit it, and its weights beside a configuration
// that fits them; both held against a base.

namespace sagesan::fuzz {
namespace {

constexpr const char* kConfiguration =
    R"({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"], "fan_in_fan_out": false})";

const Checkpoint& base() {
  static const Checkpoint checkpoint = [] {
    const std::filesystem::path path = scratch() / "base.safetensors";
    const std::vector<float> values(12, 1);
    write_safetensors(path, {{"model.layers.0.self_attn.q_proj.weight",
                              DType::kF32,
                              {4, 3},
                              std::as_bytes(std::span(values))}});
    return Checkpoint::open(path);
  }();
  return checkpoint;
}

void open_adapter() {
  loads_or_refuses([] {
    const Adapter adapter = Adapter::open(scratch() / "adapter");
    match_adapter(adapter, base());
  });
}

}  // namespace

FUZZ_TARGET(adapter_configuration) {
  std::filesystem::create_directory(scratch() / "adapter");
  const std::vector<float> a(6, 1), b(8, 1);
  const std::string module = "base_model.model.model.layers.0.self_attn.q_proj.lora_";
  std::filesystem::remove(scratch() / "adapter/adapter_model.safetensors");
  write_safetensors(scratch() / "adapter/adapter_model.safetensors",
                    {{module + "A.weight", DType::kF32, {2, 3}, std::as_bytes(std::span(a))},
                     {module + "B.weight", DType::kF32, {4, 2}, std::as_bytes(std::span(b))}});
  put("adapter/adapter_config.json", bytes);
  open_adapter();
}

FUZZ_TARGET(adapter_weights, mutate_safetensors) {
  std::filesystem::create_directory(scratch() / "adapter");
  put("adapter/adapter_config.json", kConfiguration);
  put("adapter/adapter_model.safetensors", bytes);
  open_adapter();
}

}  // namespace sagesan::fuzz
