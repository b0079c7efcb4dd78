#include "sagesan/activations/moments.h"

#include <ATen/ops/median.h>

#include <algorithm>
#include <cmath>

#include "sagesan/activations/symmetric_product.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

at::TensorOptions options(at::ScalarType type, at::Device device) {
  return at::TensorOptions().dtype(type).device(device);
}

/// Of the largest token's |x|^2: beyond them sums of float32 products overflow, or small
/// channels vanish in them.
constexpr double kLeastFloatToken = 1e-12;
constexpr double kMostFloatToken = 1e30;

/// Tokens that are taken in float64 at once: the copy is twice as large as they are.
constexpr int64_t kFloat64Tokens = 512;

/// Float64 `[tokens]`. A sum whose dtype is given copies its input first.
Tensor squared_norms(const Tensor& x) { return x.pow(2).sum(1).to(at::kDouble); }

}  // namespace

SecondMoment::SecondMoment(int64_t channels, int64_t expected_tokens, at::Device device)
    : began_as_rows_(expected_tokens < channels) {
  sums_.mean_sum = at::zeros({channels}, options(at::kDouble, device));
  if (expected_tokens < channels) {
    sums_.rows = at::empty({expected_tokens, channels}, options(at::kFloat, device));
  } else {
    sums_.sum = at::zeros({channels, channels}, options(at::kDouble, device));
  }
}

SecondMoment::SecondMoment(MomentSums sums) : is_stored_(true), sums_(std::move(sums)) {
  SAGESAN_ASSERT(sums_.sum.defined() != sums_.rows.defined());
}

void SecondMoment::add(const Tensor& x, const Tensor& weights) {
  SAGESAN_ASSERT(x.dim() == 2 && x.size(1) == channels() && x.scalar_type() == at::kFloat);
  Tensor squares = squared_norms(x);
  if (!std::isfinite(squares.sum().item<double>())) {
    throw Error(ExitCode::kBadInput,
                "the model's activations are not finite (NaN or infinity, or float32 overflow)");
  }
  const double largest_square = squares.max().item<double>();
  const bool in_float64 =
      began_as_rows_ || largest_square < kLeastFloatToken || largest_square > kMostFloatToken;
  if (weights.defined()) squares = squares * weights;
  sums_.largest_token = std::max(sums_.largest_token, squares.max().item<double>());
  const int64_t step = in_float64 ? kFloat64Tokens : x.size(0);
  for (int64_t start = 0; start < x.size(0); start += step) {
    const int64_t tokens = std::min(step, x.size(0) - start);
    const Tensor part = x.narrow(0, start, tokens);
    accumulate(in_float64 ? part.to(at::kDouble) : part,
               weights.defined() ? weights.narrow(0, start, tokens) : weights);
  }
}

void SecondMoment::accumulate(const Tensor& x, const Tensor& weights) {
  Tensor weighted = x;
  if (weights.defined()) {
    const Tensor roots = weights.sqrt().unsqueeze(1).to(x.scalar_type());
    weighted = x * roots;
    // w x is the root of w times what is weighted by it.
    sums_.mean_sum += at::mm(roots.t(), weighted).squeeze(0);
    sums_.weight += weights.sum().item<double>();
  } else {
    sums_.mean_sum += x.sum(0);
    sums_.weight += static_cast<double>(x.size(0));
  }
  if (has_rows() && count() + x.size(0) > sums_.rows.size(0)) {
    sums_.sum = sum();
    sums_.rows = Tensor();
  }
  if (has_rows()) {
    sums_.rows.narrow(0, count(), x.size(0)).copy_(weighted);
  } else {
    add_upper_product(sums_.sum, weighted);
  }
  sums_.count += x.size(0);
}

void SecondMoment::merge(const SecondMoment& other) {
  SAGESAN_ASSERT(other.channels() == channels());
  if (has_rows() && other.has_rows() && count() + other.count() < channels()) {
    sums_.rows = at::cat({rows(), other.rows()}, 0);
  } else {
    sums_.sum = sum() + other.sum();
    sums_.rows = Tensor();
  }
  sums_.mean_sum = sums_.mean_sum + other.sums_.mean_sum;
  sums_.weight += other.sums_.weight;
  sums_.largest_token = std::max(sums_.largest_token, other.sums_.largest_token);
  sums_.count += other.sums_.count;
}

Tensor SecondMoment::rows() const {
  SAGESAN_ASSERT(has_rows());
  return sums_.rows.narrow(0, 0, count());
}

Tensor SecondMoment::sum() const {
  if (has_rows()) return symmetric_product(rows().to(at::kDouble));
  mirror_upper(sums_.sum);
  return sums_.sum;
}

double SecondMoment::trace() const {
  return has_rows() ? squared_norm(rows()) : sums_.sum.diagonal().sum().item<double>();
}

double SecondMoment::largest_token_share() const {
  const double all = trace();
  return all > 0 ? sums_.largest_token / all : 0;
}

DiagonalMoment::DiagonalMoment(int64_t channels, at::Device device)
    : sum_(at::zeros({channels}, options(at::kDouble, device))) {}

void DiagonalMoment::add(const Tensor& x) {
  sum_ += x.pow(2).reshape({-1, channels()}).sum(0, false, at::kDouble);
  count_ += x.size(0);
}

void DiagonalMoment::merge(const DiagonalMoment& other) {
  SAGESAN_ASSERT(other.channels() == channels());
  sum_ = sum_ + other.sum_;
  count_ += other.count_;
}

DiagonalMoment row_counts(const std::vector<int64_t>& ids, int64_t rows) {
  Tensor counts = at::zeros({rows}, at::kDouble);
  auto* count = counts.data_ptr<double>();
  for (const int64_t id : ids) {
    SAGESAN_ASSERT(id >= 0 && id < rows);
    count[id] += 1;
  }
  return {counts, static_cast<int64_t>(ids.size())};
}

Tensor token_weights(const Tensor& x, const std::vector<int64_t>& lengths, double cap) {
  Tensor weights = at::ones({x.size(0)}, options(at::kDouble, x.device()));
  const Tensor squares = squared_norms(x);
  int64_t start = 0;
  for (const int64_t length : lengths) {
    const Tensor text = squares.narrow(0, start, length);
    const double median = at::median(text).item<double>();
    // Where most inputs are zero there is no scale to compare with.
    if (median > 0) weights.narrow(0, start, length).copy_((cap * median / text).clamp_max(1));
    start += length;
  }
  SAGESAN_ASSERT(start == x.size(0));
  return weights;
}

}  // namespace sagesan
