#include "sagesan/activations/moments.h"

#include <algorithm>
#include <cmath>

#include "sagesan/support/error.h"

namespace sagesan {
namespace {

/// Columns of one panel of the upper triangle. Half of the products fall away without a separate
/// kernel, and panels of this width keep the matrix product at its full rate.
constexpr int64_t kPanel = 512;

at::TensorOptions options(at::ScalarType type, at::Device device) {
  return at::TensorOptions().dtype(type).device(device);
}

}  // namespace

SecondMoment::SecondMoment(int64_t channels, int64_t expected_tokens, at::Device device)
    : channels_(channels), has_rows_(expected_tokens < channels) {
  mean_sum_ = at::zeros({channels}, options(at::kDouble, device));
  if (has_rows_) {
    rows_ = at::empty({expected_tokens, channels}, options(at::kFloat, device));
  } else {
    sum_ = at::zeros({channels, channels}, options(at::kDouble, device));
  }
}

void SecondMoment::add(const Tensor& x) {
  SAGESAN_ASSERT(x.dim() == 2 && x.size(1) == channels_ && x.scalar_type() == at::kFloat);
  const Tensor squares = x.pow(2).sum(1, false, at::kDouble);
  const double trace = squares.sum().item<double>();
  if (!std::isfinite(trace)) {
    throw Error(ExitCode::kBadInput,
                "the model's activations are not finite (NaN or infinity, or float32 overflow)");
  }
  trace_ += trace;
  largest_token_ = std::max(largest_token_, squares.max().item<double>());
  mean_sum_ += x.sum(0, false, at::kDouble);
  if (has_rows_) {
    SAGESAN_ASSERT(count_ + x.size(0) <= rows_.size(0));
    rows_.narrow(0, count_, x.size(0)).copy_(x);
  } else {
    // Float32 products would leave an error of 1e-7 of the largest eigenvalue everywhere, and a
    // strong filter at energy 1 turns that into 1e-5 of the result.
    const Tensor wide = x.to(at::kDouble);
    for (int64_t start = 0; start < channels_; start += kPanel) {
      const int64_t width = std::min(kPanel, channels_ - start);
      const Tensor panel =
          at::mm(wide.narrow(1, 0, start + width).t(), wide.narrow(1, start, width));
      sum_.narrow(0, 0, start + width).narrow(1, start, width).add_(panel);
    }
  }
  count_ += x.size(0);
}

Tensor SecondMoment::rows() const {
  SAGESAN_ASSERT(has_rows_);
  return rows_.narrow(0, 0, count_);
}

Tensor SecondMoment::sum() const {
  SAGESAN_ASSERT(!has_rows_);
  const Tensor upper = sum_.triu();
  return upper + upper.triu(1).t();
}

NormMoment::NormMoment(int64_t channels, at::Device device)
    : sum_(at::zeros({channels}, options(at::kDouble, device))) {}

void NormMoment::add(const Tensor& x) {
  sum_ += x.pow(2).sum(0, false, at::kDouble);
  count_ += x.size(0);
}

Tensor NormMoment::relative_energies() const {
  const Tensor sum = sum_.cpu();
  const double mean = sum.mean().item<double>();
  SAGESAN_ASSERT(count_ > 0);
  if (!(mean > 0))
    throw Error(ExitCode::kBadInput, "the normalized activations are all zero or not finite");
  return sum / mean;
}

Tensor token_counts(const std::vector<int64_t>& ids, int64_t vocabulary) {
  Tensor counts = at::zeros({vocabulary}, at::kDouble);
  auto* count = counts.data_ptr<double>();
  for (const int64_t id : ids) {
    SAGESAN_ASSERT(id >= 0 && id < vocabulary);
    count[id] += 1;
  }
  return counts;
}

}  // namespace sagesan
