#include "pair_maker/llama.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <vector>

namespace sagesan::demo {
namespace {

constexpr double kEmbeddingScale = 0.1;

/// Names of layer `layer` begin with it.
std::string layer_prefix(int64_t layer) { return fmt::format("model.layers.{}.", layer); }

Tensor normal(const std::vector<int64_t>& sizes, double scale, Random& random) {
  Tensor result = at::empty(sizes, at::kFloat);
  float* values = result.data_ptr<float>();
  for (int64_t i = 0; i < result.numel(); ++i) {
    values[i] = static_cast<float>(scale * random.normal());
  }
  return result;
}

/// What all layers share for texts of one length.
struct Positions {
  Tensor cos, sin;  ///< [length, head dimension]
  Tensor mask;      ///< [length, length]: 0, or minus infinity where a key lies behind the query
};

Positions make_positions(const LlamaShape& shape, int64_t length) {
  const int64_t half = shape.head_dimension() / 2;
  Tensor angles = at::empty({length, 2 * half}, at::kDouble);
  Tensor mask = at::zeros({length, length}, at::kFloat);
  for (int64_t t = 0; t < length; ++t) {
    double* row = angles.data_ptr<double>() + t * 2 * half;
    for (int64_t i = 0; i < half; ++i) {
      const double exponent = -static_cast<double>(i) / static_cast<double>(half);
      row[i] = row[i + half] = static_cast<double>(t) * std::pow(shape.rope_theta, exponent);
    }
    mask[t].narrow(0, t + 1, length - t - 1).fill_(-std::numeric_limits<float>::infinity());
  }
  return {angles.cos().to(at::kFloat), angles.sin().to(at::kFloat), mask};
}

Tensor rms_norm(const LlamaShape& shape, const Tensor& x, const Tensor& gain) {
  return x * at::rsqrt(x.pow(2).mean(-1, true) + shape.norm_epsilon) * gain;
}

/// Rotates the last dimension of `x` `[..., length, head dimension]`.
Tensor rotate(const Tensor& x, const Positions& positions) {
  const int64_t half = x.size(-1) / 2;
  const Tensor turned = at::cat({-x.narrow(-1, half, half), x.narrow(-1, 0, half)}, -1);
  return x * positions.cos + turned * positions.sin;
}

/// `x` `[texts * length, hidden]`. The queries that share a key-value head go into one product.
Tensor attention(const LlamaShape& shape, const Weights& weights, const std::string& prefix,
                 const Tensor& x, const Positions& positions) {
  const int64_t length = positions.mask.size(0);
  const int64_t texts = x.size(0) / length;
  const int64_t keepers = shape.key_value_heads;
  const int64_t group = shape.heads / keepers;
  const int64_t channels = shape.head_dimension();
  const auto project = [&](const char* name, int64_t heads_of_keeper) {
    // [texts, keepers, heads of one keeper, length, channels]
    return at::mm(x, weights.at(prefix + name).t())
        .view({texts, length, keepers, heads_of_keeper, channels})
        .permute({0, 2, 3, 1, 4});
  };
  const auto flat = [&](const Tensor& t) { return t.reshape({texts * keepers, -1, channels}); };
  const Tensor queries = flat(rotate(project("self_attn.q_proj.weight", group), positions));
  const Tensor keys = flat(rotate(project("self_attn.k_proj.weight", 1), positions));
  const Tensor values = flat(project("self_attn.v_proj.weight", 1));

  const double scale = 1 / std::sqrt(static_cast<double>(channels));
  const Tensor scores = (at::bmm(queries, keys.transpose(1, 2)) * scale)
                            .view({texts * keepers, group, length, length});
  const Tensor shares = at::softmax(scores + positions.mask, -1);
  const Tensor mixed = at::bmm(shares.view({texts * keepers, group * length, length}), values)
                           .view({texts, keepers, group, length, channels})
                           .permute({0, 3, 1, 2, 4})
                           .reshape({texts * length, shape.heads * channels});
  return at::mm(mixed, weights.at(prefix + "self_attn.o_proj.weight").t());
}

Tensor mlp(const Weights& weights, const std::string& prefix, const Tensor& x) {
  const Tensor gate = at::mm(x, weights.at(prefix + "mlp.gate_proj.weight").t());
  const Tensor up = at::mm(x, weights.at(prefix + "mlp.up_proj.weight").t());
  return at::mm(at::silu(gate) * up, weights.at(prefix + "mlp.down_proj.weight").t());
}

}  // namespace

Json llama_configuration(const LlamaShape& shape) {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"model_type", "llama"},
          {"hidden_size", shape.hidden},
          {"intermediate_size", shape.intermediate},
          {"num_hidden_layers", shape.layers},
          {"num_attention_heads", shape.heads},
          {"num_key_value_heads", shape.key_value_heads},
          {"vocab_size", shape.vocabulary},
          {"max_position_embeddings", 512},
          {"rms_norm_eps", shape.norm_epsilon},
          {"rope_theta", shape.rope_theta},
          {"hidden_act", "silu"},
          {"attention_bias", false},
          {"mlp_bias", false},
          {"tie_word_embeddings", false},
          {"bos_token_id", nullptr},
          {"eos_token_id", 0},
          {"pad_token_id", 0},
          {"torch_dtype", "float32"}};
}

Weights random_weights(const LlamaShape& shape, Random& random) {
  Weights weights;
  const auto matrix = [&](const std::string& name, int64_t out, int64_t in) {
    weights[name] = normal({out, in}, 1 / std::sqrt(static_cast<double>(in)), random);
  };
  const auto gain = [&](const std::string& name) {
    weights[name] = at::ones({shape.hidden}, at::kFloat);
  };
  const int64_t keys = shape.key_value_heads * shape.head_dimension();
  weights["model.embed_tokens.weight"] =
      normal({shape.vocabulary, shape.hidden}, kEmbeddingScale, random);
  for (int64_t layer = 0; layer < shape.layers; ++layer) {
    const std::string prefix = layer_prefix(layer);
    gain(prefix + "input_layernorm.weight");
    matrix(prefix + "self_attn.q_proj.weight", shape.hidden, shape.hidden);
    matrix(prefix + "self_attn.k_proj.weight", keys, shape.hidden);
    matrix(prefix + "self_attn.v_proj.weight", keys, shape.hidden);
    matrix(prefix + "self_attn.o_proj.weight", shape.hidden, shape.hidden);
    gain(prefix + "post_attention_layernorm.weight");
    matrix(prefix + "mlp.gate_proj.weight", shape.intermediate, shape.hidden);
    matrix(prefix + "mlp.up_proj.weight", shape.intermediate, shape.hidden);
    matrix(prefix + "mlp.down_proj.weight", shape.hidden, shape.intermediate);
  }
  gain("model.norm.weight");
  matrix("lm_head.weight", shape.vocabulary, shape.hidden);
  return weights;
}

Weights clone(const Weights& weights) {
  Weights result;
  for (const auto& [name, weight] : weights) result[name] = weight.detach().clone();
  return result;
}

Tensor final_states(const LlamaShape& shape, const Weights& weights, const Tensor& ids) {
  const Positions positions = make_positions(shape, ids.size(1));
  Tensor x = weights.at("model.embed_tokens.weight").index_select(0, ids.reshape({-1}));
  for (int64_t layer = 0; layer < shape.layers; ++layer) {
    const std::string prefix = layer_prefix(layer);
    const auto normalized = [&](const char* name) {
      return rms_norm(shape, x, weights.at(prefix + name));
    };
    x = x + attention(shape, weights, prefix, normalized("input_layernorm.weight"), positions);
    x = x + mlp(weights, prefix, normalized("post_attention_layernorm.weight"));
  }
  return rms_norm(shape, x, weights.at("model.norm.weight"));
}

Tensor head_logits(const Weights& weights, const Tensor& states) {
  return at::mm(states, weights.at("lm_head.weight").t());
}

}  // namespace sagesan::demo
