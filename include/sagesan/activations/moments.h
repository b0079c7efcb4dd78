#pragma once

#include <map>
#include <vector>

#include "sagesan/model/sites.h"
#include "sagesan/support/tensor.h"

namespace sagesan {

/// The uncentred second moment of one site's inputs as raw sums, so that merging is addition:
/// `sum_t x_t x_t^T` in float64 `[channels, channels]`, or, while tokens are fewer than channels,
/// the inputs themselves in float32 `[tokens, channels]`, which hold the same and are smaller.
class SecondMoment {
 public:
  /// `expected_tokens` decides between the sum and the rows; more than that must not be added.
  SecondMoment(int64_t channels, int64_t expected_tokens, at::Device device);

  /// Adds the inputs `x`, float32 `[tokens, channels]`, at most a few thousand tokens at a time:
  /// they are widened to float64 for the products. Throws `Error` on NaN or infinity.
  void add(const Tensor& x);

  int64_t channels() const { return channels_; }
  int64_t count() const { return count_; }
  bool has_rows() const { return has_rows_; }
  /// `[tokens, channels]` float32; only where `has_rows()`.
  Tensor rows() const;
  /// The symmetric sum, float64 `[channels, channels]`; only where not `has_rows()`.
  Tensor sum() const;
  /// Sum of the inputs, float64 `[channels]`.
  const Tensor& mean_sum() const { return mean_sum_; }
  /// sum_t |x_t|^2.
  double trace() const { return trace_; }
  /// Share of the trace that the largest token holds: near 1 where one attention-sink token
  /// dominates.
  double largest_token_share() const { return trace_ > 0 ? largest_token_ / trace_ : 0; }

 private:
  int64_t channels_;
  int64_t count_ = 0;
  bool has_rows_;
  Tensor sum_;  ///< upper column panels alone are kept up to date
  Tensor rows_;
  Tensor mean_sum_;
  double trace_ = 0;
  double largest_token_ = 0;
};

/// Sums over the tokens of xhat_j^2, the normalized hidden states before the gain.
class NormMoment {
 public:
  NormMoment(int64_t channels, at::Device device);
  void add(const Tensor& x);
  /// n_j = E[xhat_j^2] / mean_j E[xhat_j^2], float64 `[channels]` on the CPU.
  Tensor relative_energies() const;
  int64_t count() const { return count_; }

 private:
  Tensor sum_;
  int64_t count_ = 0;
};

/// How often each token stands in the retain texts, float64 `[vocabulary]` on the CPU.
Tensor token_counts(const std::vector<int64_t>& ids, int64_t vocabulary);

}  // namespace sagesan
