#include "sagesan/model/configuration.h"

#include "fuzz/fuzz.h"
#include "sagesan/checkpoint/checkpoint.h"
#include "sagesan/checkpoint/safetensors_writer.h"
#include "sagesan/evaluate/generation_settings.h"
#include "sagesan/model/parameters.h"
#include "sagesan/support/error.h"

// config.json, and what it claims held against a checkpoint that has hardly anything.

namespace sagesan::fuzz {

FUZZ_TARGET(configuration) {
  static const Checkpoint checkpoint = [] {
    const std::filesystem::path path = scratch() / "few.safetensors";
    const float value = 1;
    write_safetensors(
        path, {{"model.norm.weight", DType::kF32, {1}, std::as_bytes(std::span(&value, 1))}});
    return Checkpoint::open(path);
  }();
  put("config.json", bytes);
  loads_or_refuses([&] {
    ModelConfiguration model = read_configuration(scratch());
    try {
      match_parameters(model, checkpoint);
    } catch (const InputError&) {
      return;  // of course
    }
    require(false, "a model without weights");
  });
  std::filesystem::remove(scratch() / "config.json");
}

FUZZ_TARGET(generation_config) {
  put("generation_config.json", bytes);
  loads_or_refuses([&] { read_generation_settings(scratch()); });
  std::filesystem::remove(scratch() / "generation_config.json");
}

}  // namespace sagesan::fuzz
