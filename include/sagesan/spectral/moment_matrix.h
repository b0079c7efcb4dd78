#pragma once

#include <string>

#include "sagesan/activations/moments.h"
#include "sagesan/spectral/moment_root.h"
#include "sagesan/support/tensor.h"

namespace sagesan {

/// Throws `Error` that names `site` where the moment is zero.
void check_active(const SecondMoment& moment, const std::string& site);

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
  double weight_;  ///< T
  Tensor rows_;    ///< R `[tokens, channels]`: T S = R^T R; undefined where `sum_` is not
  Tensor sum_;     ///< T S, the moment's own
  MomentRoot root_;
  double mean_energy_;
};

}  // namespace sagesan
