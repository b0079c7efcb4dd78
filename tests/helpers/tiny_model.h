#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "helpers/files.h"
#include "sagesan/checkpoint/safetensors_writer.h"

namespace sagesan::testing {

/// A model of the Llama family, or with experts of the Mixtral family, small enough to be made and
/// run in milliseconds. The same parameters give the same bytes everywhere.
struct TinyModel {
  std::string architecture = "LlamaForCausalLM";
  int64_t layers = 2;
  int64_t hidden = 32;
  int64_t intermediate = 48;
  int64_t heads = 4;
  int64_t key_value_heads = 2;
  int64_t vocabulary = 64;
  int64_t experts = 0;  ///< of each layer; a token sees one
  bool tied = false;
  bool attention_bias = false;
  DType dtype = DType::kF32;  ///< F32, F64 or BF16
  uint64_t seed = 1;
  int64_t shards = 1;   ///< more than 1: with an index; tensors are dealt out in turn
  double noise = 0.05;  ///< of the update, relative to the weights

  int64_t head_dimension() const { return hidden / heads; }
};

/// One tensor before it is rounded to the model's dtype.
struct TinyTensor {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<double> values;
};
using TinyWeights = std::vector<TinyTensor>;

/// Normally distributed numbers (Box-Muller on a 64-bit LCG) from a seed and a name, so that a
/// tensor does not depend on its neighbours.
inline std::vector<double> random_values(size_t count, const std::string& name, uint64_t seed) {
  uint64_t state = 0xCBF29CE484222325ULL;
  for (const char c : name) state = (state ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  state += seed * 0x9E3779B97F4A7C15ULL;
  const auto uniform = [&] {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (static_cast<double>(state >> 11) + 0.5) / 9007199254740992.0;
  };
  uniform();
  std::vector<double> result(count);
  for (double& value : result) {
    const double radius = std::sqrt(-2 * std::log(uniform()));
    value = radius * std::cos(2 * 3.14159265358979323846 * uniform());
  }
  return result;
}

inline nlohmann::json tiny_config(const TinyModel& model) {
  nlohmann::json config = {{"architectures", {model.architecture}},
                           {"model_type", "llama"},
                           {"hidden_size", model.hidden},
                           {"intermediate_size", model.intermediate},
                           {"num_hidden_layers", model.layers},
                           {"num_attention_heads", model.heads},
                           {"num_key_value_heads", model.key_value_heads},
                           {"vocab_size", model.vocabulary},
                           {"max_position_embeddings", 2048},
                           {"rms_norm_eps", 1e-5},
                           {"rope_theta", 10000.0},
                           {"hidden_act", "silu"},
                           {"attention_bias", model.attention_bias},
                           {"tie_word_embeddings", model.tied}};
  if (model.experts > 0) {
    config["architectures"] = {"MixtralForCausalLM"};
    config["model_type"] = "mixtral";
    config["num_local_experts"] = model.experts;
    config["num_experts_per_tok"] = 1;
  }
  return config;
}

/// Names and shapes as Hugging Face saves them, without values.
inline TinyWeights tiny_layout(const TinyModel& model) {
  TinyWeights result;
  const auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    result.push_back({name, std::move(shape), {}});
  };
  const int64_t keys = model.key_value_heads * model.head_dimension();
  add("model.embed_tokens.weight", {model.vocabulary, model.hidden});
  for (int64_t layer = 0; layer < model.layers; ++layer) {
    const std::string prefix = fmt::format("model.layers.{}.", layer);
    const auto add_projection = [&](const char* name, int64_t out, int64_t in) {
      add(prefix + "self_attn." + name + ".weight", {out, in});
      if (model.attention_bias) add(prefix + "self_attn." + name + ".bias", {out});
    };
    add(prefix + "input_layernorm.weight", {model.hidden});
    add_projection("q_proj", model.hidden, model.hidden);
    add_projection("k_proj", keys, model.hidden);
    add_projection("v_proj", keys, model.hidden);
    add_projection("o_proj", model.hidden, model.hidden);
    add(prefix + "post_attention_layernorm.weight", {model.hidden});
    const auto add_mlp = [&](const std::string& gate, const std::string& up,
                             const std::string& down) {
      add(prefix + gate + ".weight", {model.intermediate, model.hidden});
      add(prefix + up + ".weight", {model.intermediate, model.hidden});
      add(prefix + down + ".weight", {model.hidden, model.intermediate});
    };
    if (model.experts == 0) add_mlp("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj");
    if (model.experts > 0)
      add(prefix + "block_sparse_moe.gate.weight", {model.experts, model.hidden});
    for (int64_t expert = 0; expert < model.experts; ++expert) {
      const std::string name = fmt::format("block_sparse_moe.experts.{}.", expert);
      add_mlp(name + "w1", name + "w3", name + "w2");
    }
  }
  add("model.norm.weight", {model.hidden});
  if (!model.tied) add("lm_head.weight", {model.vocabulary, model.hidden});
  return result;
}

inline TinyTensor& tensor_named(TinyWeights& weights, const std::string& name) {
  for (TinyTensor& tensor : weights) {
    if (tensor.name == name) return tensor;
  }
  throw std::runtime_error("the tiny model has no " + name);
}

/// The base model's weights.
inline TinyWeights base_weights(const TinyModel& model) {
  TinyWeights weights = tiny_layout(model);
  for (TinyTensor& tensor : weights) {
    size_t count = 1;
    for (const int64_t size : tensor.shape) count *= static_cast<size_t>(size);
    tensor.values = random_values(count, tensor.name, model.seed);
    const bool norm = tensor.name.ends_with("norm.weight");
    const double scale =
        tensor.shape.size() == 2 ? 1 / std::sqrt(static_cast<double>(tensor.shape[1])) : 0.1;
    for (double& value : tensor.values) value = (norm ? 1 : 0) + scale * value;
  }
  return weights;
}

/// The same plus noise in every tensor whose name holds `only`.
inline TinyWeights unlearned_weights(const TinyModel& model, const std::string& only = "") {
  TinyWeights weights = base_weights(model);
  for (TinyTensor& tensor : weights) {
    if (tensor.name.find(only) == std::string::npos) continue;
    const auto noise = random_values(tensor.values.size(), tensor.name + " update", model.seed);
    const double scale =
        model.noise *
        (tensor.shape.size() == 2 ? 1 / std::sqrt(static_cast<double>(tensor.shape[1])) : 0.1);
    for (size_t i = 0; i < noise.size(); ++i) tensor.values[i] += scale * noise[i];
  }
  return weights;
}

/// The values in the bytes of `dtype`, rounded to the nearest, ties to even.
inline std::string encode_values(const std::vector<double>& values, DType dtype) {
  std::string bytes;
  const auto put = [&bytes](const auto& number) {
    bytes.append(reinterpret_cast<const char*>(&number), sizeof number);
  };
  for (const double value : values) {
    const auto single = static_cast<float>(value);
    if (dtype == DType::kF64) {
      put(value);
    } else if (dtype == DType::kF32) {
      put(single);
    } else if (dtype == DType::kBF16) {
      uint32_t bits = 0;
      std::memcpy(&bits, &single, sizeof bits);
      const bool finite = (bits & 0x7F800000U) != 0x7F800000U;
      if (finite) bits += 0x7FFFU + (bits >> 16 & 1U);
      put(static_cast<uint16_t>(bits >> 16));
    } else {
      throw std::runtime_error("the tiny model has no such dtype");
    }
  }
  return bytes;
}

/// Writes config.json and the weights, as one file or as shards with their index; weights that
/// stand there are replaced.
inline void write_checkpoint(const std::filesystem::path& directory, const TinyModel& model,
                             const TinyWeights& weights) {
  std::filesystem::create_directories(directory);
  write_file(directory / "config.json", tiny_config(model).dump(2) + "\n");
  std::vector<std::string> payloads;
  for (const TinyTensor& tensor : weights)
    payloads.push_back(encode_values(tensor.values, model.dtype));
  nlohmann::json index = {{"metadata", nlohmann::json::object()},
                          {"weight_map", nlohmann::json::object()}};
  for (int64_t shard = 0; shard < model.shards; ++shard) {
    const std::string name = model.shards == 1 ? "model.safetensors"
                                               : fmt::format("model-{:05}-of-{:05}.safetensors",
                                                             shard + 1, model.shards);
    std::vector<TensorBytes> tensors;
    for (size_t i = static_cast<size_t>(shard); i < weights.size();
         i += static_cast<size_t>(model.shards)) {
      tensors.push_back(
          {weights[i].name, model.dtype, weights[i].shape, std::as_bytes(std::span(payloads[i]))});
      index["weight_map"][weights[i].name] = name;
    }
    std::filesystem::remove(directory / name);
    write_safetensors(directory / name, tensors, {{"format", "pt"}});
  }
  if (model.shards > 1)
    write_file(directory / "model.safetensors.index.json", index.dump(2) + "\n");
}

inline void make_base(const std::filesystem::path& directory, const TinyModel& model = {}) {
  write_checkpoint(directory, model, base_weights(model));
}

inline void make_unlearned(const std::filesystem::path& directory, const TinyModel& model = {},
                           const std::string& only = "") {
  write_checkpoint(directory, model, unlearned_weights(model, only));
}

/// JSONL of `records` texts of `length` ids below `vocabulary`.
inline std::string tiny_records(int64_t records, int64_t length, int64_t vocabulary,
                                uint64_t seed = 1) {
  std::string text;
  uint64_t state = seed;
  for (int64_t record = 0; record < records; ++record) {
    std::vector<int64_t> ids;
    for (int64_t i = 0; i < length; ++i) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      ids.push_back(static_cast<int64_t>((state >> 33) % static_cast<uint64_t>(vocabulary)));
    }
    text += nlohmann::json{{"input_ids", ids}}.dump() + "\n";
  }
  return text;
}

}  // namespace sagesan::testing
