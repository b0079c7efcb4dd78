#pragma once

#include <variant>
#include <vector>

#include "sagesan/support/tensor.h"

namespace sagesan {

/// What float32 products may leave of rounding in a second moment S, of the root of S_ii S_jj and
/// as a matrix: whatever hardly exceeds this share of u^T diag(S) u, for a unit vector u, is no
/// u^T S u. Up to 1.8e-6 was measured, in the norm, of real inputs, 6e-6 of random ones.
constexpr double kMomentRounding = 1e-5;

/// What a second moment consists of.
struct MomentSums {
  Tensor sum;         ///< float64 `[channels, channels]`, symmetric; undefined where there are rows
  Tensor rows;        ///< float32 `[tokens, channels]`, each times the root of its token's weight
  Tensor mean_sum;    ///< float64 `[channels]`: the weighted sum of the inputs
  double weight = 0;  ///< sum of the tokens' weights
  double largest_token = 0;  ///< the largest weight * |x|^2
  int64_t count = 0;         ///< tokens
};

/// The uncentred second moment of one site's inputs as raw sums, so that merging is addition:
/// `sum_t w_t x_t x_t^T` in float64 `[channels, channels]`, or, while tokens are fewer than
/// channels, the inputs themselves in float32 `[tokens, channels]`, which hold the same and are
/// smaller. The weights w_t are 1 unless a token cap lowers them.
class SecondMoment {
 public:
  /// Keeps the rows where `expected_tokens` are fewer than `channels`; should more come, they turn
  /// into the sum.
  SecondMoment(int64_t channels, int64_t expected_tokens, at::Device device);
  /// Goes on from stored sums, whose shapes and dtypes must be right.
  explicit SecondMoment(MomentSums sums);

  /// Adds the inputs `x`, float32 `[tokens, channels]`, at most a few thousand tokens at a time:
  /// their products are float32, and rounded (see `kMomentRounding`), but where rows were kept at
  /// first. `weights` is float64 `[tokens]`, or undefined where all are 1. Throws `Error` on NaN or
  /// infinity.
  void add(const Tensor& x, const Tensor& weights = {});
  /// Adds what another one of the same site has seen. Rows stay rows while they are fewer than
  /// channels.
  void merge(const SecondMoment& other);

  int64_t channels() const { return sums_.mean_sum.size(0); }
  int64_t count() const { return sums_.count; }
  double weight() const { return sums_.weight; }
  bool has_rows() const { return sums_.rows.defined(); }
  /// It goes on from sums that came from elsewhere: whether they are a second moment's is not
  /// known.
  bool is_stored() const { return is_stored_; }
  /// Of the rows or the sum.
  size_t bytes() const { return (has_rows() ? sums_.rows : sums_.sum).nbytes(); }
  /// `[tokens, channels]` float32; only where `has_rows()`.
  Tensor rows() const;
  /// The symmetric sum, float64 `[channels, channels]`.
  Tensor sum() const;
  const Tensor& mean_sum() const { return sums_.mean_sum; }
  /// sum_t w_t |x_t|^2.
  double trace() const;
  double largest_token() const { return sums_.largest_token; }
  /// Share of the trace that the largest token holds: near 1 where one attention-sink token
  /// dominates.
  double largest_token_share() const;

 private:
  /// Adds inputs, float32 or float64, in their own dtype.
  void accumulate(const Tensor& x, const Tensor& weights);

  /// Then products are float64: experts' moments do, and their traces are also summed without them,
  /// in float64. The two must agree.
  bool began_as_rows_ = false;
  bool is_stored_ = false;
  MomentSums sums_;  ///< of `sum`, the upper column panels alone are kept up to date
};

/// The diagonal of a second moment, for inputs of which no more is needed: normalized hidden states
/// before a norm's gain, and the one-hot inputs of an embedding, where it counts the tokens.
class DiagonalMoment {
 public:
  /// `sum` float64 `[channels]`.
  DiagonalMoment(Tensor sum, int64_t count) : sum_(std::move(sum)), count_(count) {}
  DiagonalMoment(int64_t channels, at::Device device);

  /// Adds x_j^2 of every row of `x`, float32 `[tokens, channels]` or `[tokens, heads, channels]`.
  void add(const Tensor& x);
  void merge(const DiagonalMoment& other);

  const Tensor& sum() const { return sum_; }
  int64_t channels() const { return sum_.size(0); }
  int64_t count() const { return count_; }

 private:
  Tensor sum_;
  int64_t count_ = 0;
};

/// How often each row of an embedding is read, on the CPU. `ids` are tokens or positions.
DiagonalMoment row_counts(const std::vector<int64_t>& ids, int64_t rows);

/// The moment of one site, whatever its kind.
using SiteMoment = std::variant<SecondMoment, DiagonalMoment>;

/// `--token-cap C`: w_t = min(1, C * median|x|^2 / |x_t|^2) over the tokens of one text, float64
/// `[tokens]`. An attention-sink token of 100 times the norm would otherwise hold nearly the whole
/// trace. The median is each text's own, so that moments of two halves merge to those of the whole.
/// `lengths` are the texts' tokens in `x`; of an expert, those that are routed to it.
Tensor token_weights(const Tensor& x, const std::vector<int64_t>& lengths, double cap);

}  // namespace sagesan
