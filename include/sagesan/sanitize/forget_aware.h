#pragma once

#include <map>
#include <optional>
#include <string>

#include "sagesan/activations/moments.h"
#include "sagesan/sanitize/rules.h"
#include "sagesan/spectral/moment_root.h"

namespace sagesan {

/// Forget-aware solving, beyond the paper. The anchor, which holds the answer at the unlearning,
/// weighs the update by what the *forget* texts feed into the module, so that directions that carry
/// the forgetting give way last:
///
///     D' = argmin_X ||(X - D) A^(1/2)||_F^2 + s ||X S^(1/2)||_F^2 = D A (A + s S)^-1
///     A  = C + g I
///
/// S and C are the second moments of retain and forget texts, each scaled to mean eigenvalue 1, and
/// g > 0 is what the anchor weighs where no forget text reaches. With C = 0 and g = 1 this is the
/// ridge solution.
class ForgetAnchor {
 public:
  /// The `references` are the raw traces by which the moments are scaled, their own where 0 (see
  /// `Spectrum`). `forget` is null, or zero, where the forget texts never reach the module: C = 0.
  /// Throws `Error` that names `site` where the retain moment is zero.
  ForgetAnchor(const SecondMoment& retain, double retain_reference, const SecondMoment* forget,
               double forget_reference, double floor, const std::string& site);

  /// D s S (A + s S)^-1: what is taken out of `d`, float32 `[any, channels]`. The system is solved
  /// once for each strength, in float64; without forget texts it is factorized alone. Throws
  /// `Error` where the residual says that this failed: as bad input where strength and floor ask
  /// for more than float64 holds.
  Tensor removed(const Tensor& d, double strength) const;
  /// Of S, unscaled.
  const MomentRoot& root() const;
  /// Without forget texts the factor of the system solves and measures, and S needs no root of its
  /// own. Absent where there are forget texts, few tokens, or a strength that float32 would not do
  /// for.
  std::optional<ThroughRoot> through_system(double strength) const;

 private:
  /// `[channels, channels]`: s S (A + s S)^-1, float32; without forget texts the Cholesky factor of
  /// g I + s S, float64 where float32 would not do.
  const Tensor& solved(double strength) const;
  Tensor solve(double strength) const;
  /// Without forget texts, L being the factor: what is taken out, and g D L^-T, which is what is
  /// left times L.
  SolvedThroughRoot solve_by_factor(const Tensor& d, double strength) const;
  bool measures_by_system(double strength) const;
  /// By what T S is multiplied in the system.
  double penalty(double strength) const { return strength * retain_scale_; }
  /// Of the system, its largest eigenvalue over its smallest, at most.
  double width(double strength) const;
  /// Throws `Error` unless the system's matrix, whose norm is `norm`, times `x`, columns, is
  /// `wanted`.
  void check_solution(double strength, double norm, const Tensor& x, const Tensor& wanted) const;

  std::string site_;
  double floor_;     ///< g
  bool few_tokens_;  ///< the retain moment keeps rows, which are its root
  double weight_;    ///< T
  mutable std::optional<MomentRoot> root_;
  mutable Tensor retain_;  ///< T S, float64 `[channels, channels]`; `root_` is one of it over T
  double retain_scale_;    ///< by which it is to be multiplied
  Tensor anchor_;          ///< A, float64; undefined where it is g I
  mutable std::map<double, Tensor> solved_;
};

/// The rule of a linear module for one strength; `anchor` must outlive it. Its bias has no closed
/// form in the strength: there is no damping curve.
Rule forget_aware_rule(const ForgetAnchor& anchor, double strength);

}  // namespace sagesan
