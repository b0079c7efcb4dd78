#include "sagesan/model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "sagesan/support/error.h"

namespace sagesan {
namespace {

using Type = RopeConfiguration::Type;

/// theta^(2i / dimension), float32 `[dimension / 2]`.
Tensor wavelengths(double theta, int64_t dimension) {
  const Tensor exponents = at::arange(0, dimension, 2, at::kFloat) / static_cast<double>(dimension);
  return at::pow(at::Scalar(theta), exponents);
}

Tensor llama3_frequencies(const Tensor& frequencies, const RopeConfiguration& rope) {
  const auto context = static_cast<double>(rope.original_positions);
  const double low = rope.low_frequency_factor;
  const double high = rope.high_frequency_factor;
  const Tensor wavelength = (2 * std::numbers::pi) / frequencies;
  const Tensor scaled =
      at::where(wavelength > context / low, frequencies / rope.factor, frequencies);
  const Tensor smooth = (context / wavelength - low) / (high - low);
  const Tensor blended = (1 - smooth) * scaled / rope.factor + smooth * scaled;
  const Tensor between = (wavelength >= context / high).logical_and(wavelength <= context / low);
  return at::where(between, blended, scaled);
}

Tensor yarn_frequencies(const RopeConfiguration& rope) {
  const auto dimension = static_cast<double>(rope.dimension);
  const auto correction = [&](double rotations) {
    return dimension *
           std::log(static_cast<double>(rope.original_positions) /
                    (rotations * 2 * std::numbers::pi)) /
           (2 * std::log(rope.theta));
  };
  double low = correction(rope.beta_fast);
  double high = correction(rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dimension - 1);
  if (low == high) high += 0.001;
  const Tensor ramp =
      ((at::arange(rope.dimension / 2, at::kFloat) - low) / (high - low)).clamp(0, 1);
  const Tensor keep = 1 - ramp;
  const Tensor wave = wavelengths(rope.theta, rope.dimension);
  return (1.0 / (rope.factor * wave)) * (1 - keep) + (1.0 / wave) * keep;
}

}  // namespace

RotaryEmbedding::RotaryEmbedding(const RopeConfiguration& configuration, at::Device device)
    : configuration_(configuration), device_(device) {}

Tensor RotaryEmbedding::inverse_frequencies(int64_t length) const {
  const RopeConfiguration& rope = configuration_;
  switch (rope.type) {
    case Type::kDefault:
      return 1.0 / wavelengths(rope.theta, rope.dimension);
    case Type::kLinear:
      return (1.0 / wavelengths(rope.theta, rope.dimension)) / rope.factor;
    case Type::kDynamic: {
      const auto dimension = static_cast<double>(rope.dimension);
      const double stretch = static_cast<double>(std::max(length, rope.max_positions)) /
                             static_cast<double>(rope.max_positions);
      const double theta = rope.theta * std::pow(rope.factor * stretch - (rope.factor - 1),
                                                 dimension / (dimension - 2));
      return 1.0 / wavelengths(theta, rope.dimension);
    }
    case Type::kLlama3:
      return llama3_frequencies(1.0 / wavelengths(rope.theta, rope.dimension), rope);
    case Type::kYarn:
      return yarn_frequencies(rope);
    case Type::kLongRope: {
      const auto& factors =
          length > rope.original_positions ? rope.long_factors : rope.short_factors;
      return 1.0 / (at::tensor(factors, at::kDouble).to(at::kFloat) *
                    wavelengths(rope.theta, rope.dimension));
    }
  }
  SAGESAN_ASSERT(false);
  return {};
}

int64_t RotaryEmbedding::table(int64_t length) const {
  if (configuration_.type == Type::kDynamic) return std::max(length, configuration_.max_positions);
  if (configuration_.type == Type::kLongRope)
    return length > configuration_.original_positions ? 1 : 0;
  return 0;
}

std::pair<Tensor, Tensor> RotaryEmbedding::angles(int64_t length) {
  auto& [cos, sin] = tables_[table(length)];
  if (!cos.defined() || cos.size(0) < length) {
    const Tensor angle = at::outer(at::arange(length, at::kFloat), inverse_frequencies(length));
    cos = (at::cos(angle) * configuration_.attention_factor).to(device_);
    sin = (at::sin(angle) * configuration_.attention_factor).to(device_);
  }
  return {cos.narrow(0, 0, length), sin.narrow(0, 0, length)};
}

std::pair<Tensor, Tensor> RotaryEmbedding::angles(const std::vector<int64_t>& lengths) {
  return angles(lengths, std::vector<int64_t>(lengths.size()));
}

std::pair<Tensor, Tensor> RotaryEmbedding::angles(const std::vector<int64_t>& lengths,
                                                  const std::vector<int64_t>& before) {
  std::vector<Tensor> cos;
  std::vector<Tensor> sin;
  for (size_t i = 0; i < lengths.size(); ++i) {
    const auto [c, s] = angles(before[i] + lengths[i]);
    cos.push_back(c.narrow(0, before[i], lengths[i]));
    sin.push_back(s.narrow(0, before[i], lengths[i]));
  }
  return {at::cat(cos, 0), at::cat(sin, 0)};
}

Tensor RotaryEmbedding::rotate(const Tensor& x, const Tensor& cos, const Tensor& sin) {
  const int64_t half = cos.size(1);
  const Tensor first = x.narrow(2, 0, half);
  const Tensor second = x.narrow(2, half, half);
  const Tensor c = cos.unsqueeze(1);
  const Tensor s = sin.unsqueeze(1);
  const Tensor rest = x.narrow(2, 2 * half, x.size(2) - 2 * half);
  return at::cat({first * c - second * s, second * c + first * s, rest}, 2);
}

}  // namespace sagesan
