#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "pair_maker/llama.h"

namespace sagesan::demo {

/// AdamW (Loshchilov and Hutter, arXiv:1711.05101) with PyTorch's defaults: betas 0.9 and 0.999,
/// epsilon 1e-8, weight decay 0.01. Gradients are cut to a common norm of 1 first, as Hugging
/// Face's Trainer does.
class AdamW {
 public:
  /// `weights` must outlive this; from now on they collect gradients.
  explicit AdamW(Weights& weights);
  ~AdamW();
  AdamW(const AdamW&) = delete;
  AdamW& operator=(const AdamW&) = delete;

  /// Moves the weights down the gradient of `loss`, a scalar computed from them.
  void step(const Tensor& loss, double learning_rate);

 private:
  struct Moments {
    Tensor first, second;
  };
  Weights& weights_;
  std::map<std::string, Moments> moments_;
  int64_t steps_ = 0;
};

}  // namespace sagesan::demo
