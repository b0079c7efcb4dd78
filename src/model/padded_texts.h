#pragma once

#include <vector>

#include "sagesan/support/tensor.h"

namespace sagesan {

/// Neighbouring texts of like lengths, which go through the attention as one tensor: a call for
/// each of many short texts takes longer than what it computes. What is padded comes after a text's
/// own tokens, so that causal attention never looks at it.
class PaddedTexts {
 public:
  /// Texts of these lengths from row `start` on.
  PaddedTexts(int64_t start, const std::vector<int64_t>& lengths, at::Device device);

  /// `x` `[tokens of the block, heads, channels]` to `[texts, length of the longest, heads,
  /// channels]`.
  Tensor pad(const Tensor& x) const;
  /// `x` `[texts * length of the longest, channels]` to `[tokens of these texts, channels]`.
  Tensor unpad(const Tensor& x) const;

 private:
  int64_t start_, tokens_, texts_, longest_;
  Tensor sources_;  ///< the row that each padded row is taken from; undefined where none is padded
  Tensor own_;      ///< the padded rows that are no padding; undefined likewise
};

/// Groups the texts of a block, in their order: at most some thousand rows each, at most half of
/// them padding.
std::vector<PaddedTexts> padded_texts(const std::vector<int64_t>& lengths, at::Device device);

}  // namespace sagesan
