#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "helpers/files.h"
#include "helpers/tiny_model.h"

namespace sagesan::testing {

/// Random values that depend on the name alone.
inline TinyTensor random_tensor(const std::string& name, std::vector<int64_t> shape,
                                uint64_t seed = 1) {
  size_t count = 1;
  for (const int64_t size : shape) count *= static_cast<size_t>(size);
  return {name, std::move(shape), random_values(count, name, seed)};
}

inline void write_tensors(const std::filesystem::path& path, const TinyWeights& tensors,
                          DType dtype = DType::kF32,
                          const std::map<std::string, std::string>& metadata = {}) {
  std::vector<std::string> payloads;
  payloads.reserve(tensors.size());
  for (const TinyTensor& tensor : tensors) payloads.push_back(encode_values(tensor.values, dtype));
  std::vector<TensorBytes> bytes;
  for (size_t i = 0; i < tensors.size(); ++i)
    bytes.push_back(
        {tensors[i].name, dtype, tensors[i].shape, std::as_bytes(std::span(payloads[i]))});
  std::filesystem::remove(path);
  write_safetensors(path, bytes, metadata);
}

/// The least that peft accepts.
inline nlohmann::json adapter_configuration(int64_t r = 2, double alpha = 3) {
  return {{"peft_type", "LORA"}, {"peft_version", "0.21.2"}, {"r", r}, {"lora_alpha", alpha}};
}

inline void write_adapter_files(const std::filesystem::path& directory,
                                const nlohmann::json& configuration, const TinyWeights& tensors,
                                DType dtype = DType::kF32) {
  std::filesystem::create_directories(directory);
  write_file(directory / "adapter_config.json", configuration.dump());
  write_tensors(directory / "adapter_model.safetensors", tensors, dtype, {{"format", "pt"}});
}

/// A base of these tensors; `model_type` may be empty: no config.json then.
inline void write_base_files(const std::filesystem::path& directory, const TinyWeights& tensors,
                             const std::string& model_type = "llama", DType dtype = DType::kF32) {
  std::filesystem::create_directories(directory);
  std::filesystem::remove(directory / "config.json");
  if (!model_type.empty())
    write_file(directory / "config.json", nlohmann::json{{"model_type", model_type}}.dump());
  write_tensors(directory / "model.safetensors", tensors, dtype);
}

/// `lora_A.weight` and `lora_B.weight` of a module, in that order.
inline TinyWeights lora_pair(const std::string& module, int64_t rank, int64_t in, int64_t out) {
  const std::string prefix = "base_model.model." + module + ".lora_";
  return {random_tensor(prefix + "A.weight", {rank, in}),
          random_tensor(prefix + "B.weight", {out, rank})};
}

/// The A that `routes` factors B of a module share, those in order, and the router (HydraLoRA).
inline TinyWeights routed_factors(const std::string& module, int64_t routes, int64_t rank,
                                  int64_t in, int64_t out) {
  const std::string prefix = "base_model.model." + module + ".lora_";
  TinyWeights result = {random_tensor(prefix + "A.weight", {rank, in})};
  for (int64_t i = 0; i < routes; ++i)
    result.push_back(random_tensor(fmt::format("{}B{}.weight", prefix, i), {out, rank}));
  result.push_back(random_tensor(prefix + "route.weight", {routes, in}));
  return result;
}

/// Three experts of `module`, one by one: hidden size 4, intermediate size 5.
inline TinyWeights single_experts(const std::string& module) {
  TinyWeights result;
  for (int expert = 0; expert < 3; ++expert) {
    const std::string prefix = fmt::format("{}.{}.", module, expert);
    result.push_back(random_tensor(prefix + "gate_proj.weight", {5, 4}));
    result.push_back(random_tensor(prefix + "up_proj.weight", {5, 4}));
    result.push_back(random_tensor(prefix + "down_proj.weight", {4, 5}));
  }
  return result;
}

inline TinyWeights operator+(TinyWeights left, const TinyWeights& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

}  // namespace sagesan::testing
