#pragma once

#include <string>

#include "sagesan/activations/moments.h"
#include "sagesan/support/tensor.h"

namespace sagesan {

/// Throws `Error` that names `site` where the moment is zero.
void check_active(const SecondMoment& moment, const std::string& site);

/// R with S = R R^T, float32 `[channels, tokens]` where the moment keeps rows, else `[channels,
/// channels]`, lower triangular. Throws `Error` that names `site` where there is none.
Tensor root_of_moment(const SecondMoment& moment, const std::string& site);

/// The same of S itself, float64 `[channels, channels]`, whose place is used: it is changed.
Tensor root_of_matrix(Tensor& matrix, const std::string& site);

/// trace(M S M^T) for `m` float32 `[out, channels]`, from the root of S: a sum of squares, so
/// nothing cancels.
double response_to(const Tensor& root, const Tensor& m);

/// S = (1/T) sum_t x_t x_t^T itself, for what needs no directions: none are computed. Float64;
/// where the moment keeps rows they stand for S, which is not formed.
class MomentMatrix {
 public:
  /// Throws as `check_active`.
  MomentMatrix(const SecondMoment& moment, const std::string& site);

  /// M S, float64 `[out, channels]`, for `m` `[out, channels]`.
  Tensor times(const Tensor& m) const;
  /// trace(M S M^T), for `m` float32.
  double response(const Tensor& m) const;
  /// trace(S) / channels.
  double mean_energy() const { return mean_energy_; }

 private:
  Tensor rows_;    ///< `[tokens, channels]`: S = R^T R; undefined where `matrix_` is not
  Tensor matrix_;  ///< S
  Tensor root_;    ///< of S
  double mean_energy_;
};

}  // namespace sagesan
