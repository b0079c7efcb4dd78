#include "sagesan/sanitize/forget_aware.h"

#include <ATen/ops/linalg_solve_triangular.h>
#include <fmt/format.h>

#include <cmath>

#include "sagesan/spectral/cholesky.h"
#include "sagesan/spectral/moment_matrix.h"
#include "sagesan/spectral/probes.h"
#include "sagesan/support/error.h"
#include "sagesan/support/stage_clock.h"

namespace sagesan {
namespace {

/// By what a raw moment is multiplied so that its mean eigenvalue is 1, by its own trace or by
/// `reference`.
double scale_of(const SecondMoment& moment, double reference) {
  return static_cast<double>(moment.channels()) / (reference > 0 ? reference : moment.trace());
}

/// Of a system that float64 can be expected to solve: its largest eigenvalue over its smallest.
constexpr double kWidest = 1e10;
/// The same of float32, for a factor that was computed in float64.
constexpr double kWidestFloat = 1e6;

/// What is measured by a factor of g I + s S is the difference of two sums of squares: g is at most
/// so many times the mean eigenvalue of s S, and float32 holds what remains.
constexpr double kMostShift = 10;
/// Of g, what rounding may take off an eigenvalue of s S while the system is as good as the exact
/// one's; where it may take more, S becomes what has a root.
constexpr double kMostRounding = 0.1;

}  // namespace

ForgetAnchor::ForgetAnchor(const SecondMoment& retain, double retain_reference,
                           const SecondMoment* forget, double forget_reference, double floor,
                           const std::string& site)
    : site_(site), floor_(floor), few_tokens_(retain.has_rows()), weight_(retain.weight()) {
  SAGESAN_ASSERT(floor > 0);
  const StageClock clock("decompose");
  check_active(retain, site);
  retain_ = retain.sum();
  if (few_tokens_) root_ = root_of_moment(retain, site);
  retain_scale_ = scale_of(retain, retain_reference);
  if (forget != nullptr && forget->trace() > 0) {
    anchor_ = forget->sum() * scale_of(*forget, forget_reference);
    anchor_.diagonal().add_(floor);
  } else if (retain.is_stored() && !few_tokens_) {
    // What is no second moment has no root, but could have a system that makes an update grow.
    Tensor sum = retain_;
    root_of_sum(sum, weight_, site);
  }
}

const MomentRoot& ForgetAnchor::root() const {
  if (!root_) {
    const StageClock clock("decompose");
    root_ = root_of_sum(retain_, weight_, site_);
  }
  return *root_;
}

SolvedThroughRoot ForgetAnchor::solve_by_factor(const Tensor& d, double strength) const {
  const Tensor& lower = solved(strength);
  // Solutions come by columns, what they are added to lies by rows.
  const auto solve = [](const Tensor& factor, const Tensor& rows, bool upper) {
    return at::linalg_solve_triangular(factor, rows, upper, false).contiguous();
  };
  // s S (g I + s S)^-1 = I - g (g I + s S)^-1.
  const Tensor half = solve(lower.t(), d.to(lower.scalar_type()), true) * floor_;
  return {(d - solve(lower, half, false)).to(at::kFloat), half};
}

Tensor ForgetAnchor::removed(const Tensor& d, double strength) const {
  if (strength == 0) return at::zeros_like(d);
  if (anchor_.defined()) return at::mm(d, solved(strength));
  return solve_by_factor(d, strength).removed;
}

bool ForgetAnchor::measures_by_system(double strength) const {
  if (anchor_.defined() || few_tokens_) return false;
  const Tensor squares = retain_.diagonal();
  const double mean = penalty(strength) * squares.mean().item<double>();
  const double rounding = penalty(strength) * kMomentRounding * squares.max().item<double>();
  return mean * kMostShift >= floor_ && width(strength) < kWidestFloat &&
         rounding <= kMostRounding * floor_;
}

std::optional<ThroughRoot> ForgetAnchor::through_system(double strength) const {
  if (!measures_by_system(strength)) return std::nullopt;
  // L L^T = p T S + g I.
  return ThroughRoot{.measure = 0,
                     .root = {solved(strength), true},
                     .scale = 1 / (penalty(strength) * weight_),
                     .shift = floor_,
                     .solve = [=, this](const Tensor& d, const Tensor&, int64_t, double asked) {
                       SAGESAN_ASSERT(asked == strength);
                       return solve_by_factor(d, strength);
                     }};
}

const Tensor& ForgetAnchor::solved(double strength) const {
  Tensor& solution = solved_[strength];
  if (solution.defined()) return solution;
  const StageClock clock("decompose");
  try {
    solution = solve(strength);
  } catch (const Error& error) {
    if (error.code() != ExitCode::kInternal || width(strength) < kWidest) throw;
    throw Error(ExitCode::kBadInput,
                fmt::format("{}; a lower --strength{} keeps the system within float64",
                            error.what(), anchor_.defined() ? " or a larger --anchor-floor" : ""));
  }
  return solution;
}

Tensor ForgetAnchor::solve(double strength) const {
  // The system is of what has a root: no strength makes rounding an eigenvalue below 0.
  if (!measures_by_system(strength)) root();
  Tensor matrix = retain_ * penalty(strength);  // of the system
  if (anchor_.defined()) {
    matrix.add_(anchor_);
  } else {
    matrix.diagonal().add_(floor_);
  }
  const Tensor lower = cholesky_factor(matrix, site_);
  const double norm = std::sqrt(squared_norm(matrix));
  matrix = Tensor();
  // Unlike cholesky_solve this copies no factor.
  const auto solve_system = [&](Tensor columns) {
    columns = at::linalg_solve_triangular(lower, columns, false);
    return at::linalg_solve_triangular(lower.t(), columns, true);
  };
  const Tensor z = probe_vectors(retain_);
  if (!anchor_.defined()) {
    check_solution(strength, norm, solve_system(z), z);
    return width(strength) < kWidestFloat ? lower.to(at::kFloat) : lower;
  }
  // The transpose solves (A + s S) X = s S, as all are symmetric.
  const Tensor solution = solve_system(retain_ * penalty(strength));
  check_solution(strength, norm, at::mm(solution, z), at::mm(retain_, z) * penalty(strength));
  return solution.t().to(at::kFloat).contiguous();
}

double ForgetAnchor::width(double strength) const {
  return penalty(strength) * retain_.diagonal().sum().item<double>() / floor_;
}

void ForgetAnchor::check_solution(double strength, double norm, const Tensor& x,
                                  const Tensor& wanted) const {
  const Tensor product = at::mm(retain_, x) * penalty(strength) +
                         (anchor_.defined() ? at::mm(anchor_, x) : x * floor_);
  // Beside the probes, numbers of about 1, that stand for an update: what is taken out of it may be
  // next to nothing, and is then rounding.
  const double scale = norm * std::sqrt(squared_norm(x) + static_cast<double>(x.numel()));
  const double residual = std::sqrt(squared_norm(product - wanted));
  if (residual <= 1e-9 * scale + 1e-300) return;
  throw Error(ExitCode::kInternal,
              fmt::format("{}: the solution of the ridge system failed: residual {:.1e}", site_,
                          residual / scale));
}

Rule forget_aware_rule(const ForgetAnchor& anchor, double strength) {
  return {.removed = [&anchor](const Tensor& d, int64_t, double asked) -> Tensor {
            return anchor.removed(d, asked);
          },
          .measures = {[&anchor](const Tensor& m, int64_t) { return anchor.root().response(m); }},
          .through_root = anchor.through_system(strength)};
}

}  // namespace sagesan
