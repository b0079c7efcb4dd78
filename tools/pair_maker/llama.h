#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>

#include "pair_maker/random.h"
#include "sagesan/support/json.h"
#include "sagesan/support/tensor.h"

namespace sagesan::demo {

/// Sizes of the tiny Llama.
struct LlamaShape {
  /// As wide and as deep as that many times the usual one.
  static LlamaShape scaled(int64_t scale) {
    LlamaShape shape;
    for (int64_t* size :
         {&shape.hidden, &shape.intermediate, &shape.layers, &shape.heads, &shape.key_value_heads})
      *size *= scale;
    return shape;
  }

  int64_t vocabulary = 0;
  int64_t hidden = 64;
  int64_t intermediate = 192;
  int64_t layers = 2;
  int64_t heads = 4;
  int64_t key_value_heads = 2;
  double norm_epsilon = 1e-5;
  double rope_theta = 10000;

  int64_t head_dimension() const { return hidden / heads; }
};

/// Float32 parameters by their Hugging Face names; the head is not tied to the embedding.
using Weights = std::map<std::string, Tensor>;

/// The content of config.json (LlamaForCausalLM).
Json llama_configuration(const LlamaShape& shape);

/// Normal numbers of variance 1 / inputs for matrices and 0.1^2 for the embedding; gains of 1.
Weights random_weights(const LlamaShape& shape, Random& random);

/// Copies that share nothing with `weights`, without gradients.
Weights clone(const Weights& weights);

/// States behind the final norm, `[texts * length, hidden]`, of `ids` (int64 `[texts, length]`),
/// texts padded on the right: no token sees what follows it. Differentiable where the weights are.
///
/// Written from modeling_llama.py of `transformers` (RMSNorm, rotary embedding in rotate_half's
/// layout, grouped queries, SwiGLU) and on purpose without a line of src/model: each is a check of
/// the other.
Tensor final_states(const LlamaShape& shape, const Weights& weights, const Tensor& ids);

/// The head on states `[n, hidden]`: `[n, vocabulary]`.
Tensor head_logits(const Weights& weights, const Tensor& states);

}  // namespace sagesan::demo
