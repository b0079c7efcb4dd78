#include "pair_maker/adamw.h"

#include <algorithm>
#include <cmath>

namespace sagesan::demo {
namespace {

constexpr double kBeta1 = 0.9;
constexpr double kBeta2 = 0.999;
constexpr double kEpsilon = 1e-8;
constexpr double kWeightDecay = 0.01;
constexpr double kGradientNorm = 1;

}  // namespace

AdamW::AdamW(Weights& weights) : weights_(weights) {
  for (auto& [name, weight] : weights_) {
    weight.set_requires_grad(true);
    moments_[name] = {at::zeros_like(weight), at::zeros_like(weight)};
  }
}

AdamW::~AdamW() {
  for (auto& [name, weight] : weights_) {
    weight.mutable_grad() = Tensor();
    weight.set_requires_grad(false);
  }
}

void AdamW::step(const Tensor& loss, double learning_rate) {
  loss.backward();
  double squares = 0;
  for (const auto& [name, weight] : weights_) squares += squared_norm(weight.grad());
  const double shrink = std::min(1.0, kGradientNorm / (std::sqrt(squares) + 1e-6));
  ++steps_;
  const double correction1 = 1 - std::pow(kBeta1, static_cast<double>(steps_));
  const double correction2 = 1 - std::pow(kBeta2, static_cast<double>(steps_));
  for (auto& [name, weight] : weights_) {
    const Tensor gradient = weight.grad() * shrink;
    Moments& moments = moments_.at(name);
    moments.first.mul_(kBeta1).add_(gradient, 1 - kBeta1);
    moments.second.mul_(kBeta2).addcmul_(gradient, gradient, 1 - kBeta2);
    const Tensor scale = (moments.second / correction2).sqrt().add_(kEpsilon);
    // The values without their history: the update itself is not differentiated.
    Tensor values = weight.detach();
    values.mul_(1 - learning_rate * kWeightDecay);
    values.addcdiv_(moments.first, scale, -learning_rate / correction1);
    weight.mutable_grad() = Tensor();
  }
}

}  // namespace sagesan::demo
