#pragma once

#include <map>
#include <utility>
#include <vector>

#include "sagesan/model/configuration.h"
#include "sagesan/support/tensor.h"

namespace sagesan {

/// The rotation angles of one model. Formulas and their order of float32 operations follow
/// transformers/modeling_rope_utils.py, so that angles agree to the last bit where possible.
class RotaryEmbedding {
 public:
  RotaryEmbedding(const RopeConfiguration& configuration, at::Device device);

  /// cos and sin for positions 0 to length - 1 of a text of `length` tokens, float32
  /// `[length, dimension / 2]`, already times the attention factor. Dynamic and long RoPE depend on
  /// the text's own length, as in a fresh call of the model on that text.
  std::pair<Tensor, Tensor> angles(int64_t length);
  /// Those of several texts, one after another.
  std::pair<Tensor, Tensor> angles(const std::vector<int64_t>& lengths);
  /// Of each of several texts the last `lengths[i]` positions, behind `before[i]` others.
  std::pair<Tensor, Tensor> angles(const std::vector<int64_t>& lengths,
                                   const std::vector<int64_t>& before);
  /// What the angles of a text of `length` tokens hang on: equal numbers, equal angles.
  int64_t table(int64_t length) const;

  /// Turns the first `dimension` channels of `x` `[tokens, heads, head dimension]` by cos and sin
  /// `[tokens, dimension / 2]`: channel i is paired with channel i + dimension / 2.
  static Tensor rotate(const Tensor& x, const Tensor& cos, const Tensor& sin);

 private:
  Tensor inverse_frequencies(int64_t length) const;

  RopeConfiguration configuration_;
  at::Device device_;
  std::map<int64_t, std::pair<Tensor, Tensor>> tables_;  ///< by `table`
};

}  // namespace sagesan
