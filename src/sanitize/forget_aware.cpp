#include "sagesan/sanitize/forget_aware.h"

#include <ATen/ops/cholesky_solve.h>
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

}  // namespace

ForgetAnchor::ForgetAnchor(const SecondMoment& retain, double retain_reference,
                           const SecondMoment* forget, double forget_reference, double floor,
                           const std::string& site)
    : site_(site), floor_(floor) {
  SAGESAN_ASSERT(floor > 0);
  const StageClock clock("decompose");
  check_active(retain, site);
  retain_ = retain.sum() / retain.weight();
  // The system is of what the root is a root of: no strength makes rounding an eigenvalue below 0.
  root_ = retain.has_rows() ? root_of_moment(retain, site) : root_of_matrix(retain_, site);
  retain_scale_ = scale_of(retain, retain_reference) * retain.weight();
  if (forget == nullptr || !(forget->trace() > 0)) return;
  anchor_ = forget->sum() * scale_of(*forget, forget_reference);
  anchor_.diagonal().add_(floor);
}

Tensor ForgetAnchor::removed(const Tensor& d, double strength) const {
  if (strength == 0) return at::zeros_like(d);
  const Tensor& solution = solved(strength);
  if (anchor_.defined()) return at::mm(d, solution);
  // s S (g I + s S)^-1 = I - g (g I + s S)^-1.
  const Tensor wide = d.to(solution.scalar_type());
  return (wide - at::cholesky_solve(wide.t(), solution).t() * floor_).to(at::kFloat);
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
  const Tensor penalty = retain_ * (retain_scale_ * strength);
  const Tensor z = probe_vectors(penalty);
  if (anchor_.defined()) {
    // The transpose solves A' X = s S with A' = A + s S, as all three are symmetric.
    const Tensor matrix = anchor_ + penalty;
    const Tensor solution = at::cholesky_solve(penalty, cholesky_factor(matrix, site_));
    check_solution(matrix, at::mm(solution, z), at::mm(penalty, z));
    return solution.t().to(at::kFloat).contiguous();
  }
  const Tensor& matrix = penalty;  // in its place
  matrix.diagonal().add_(floor_);
  const Tensor lower = cholesky_factor(matrix, site_);
  check_solution(matrix, at::cholesky_solve(z, lower), z);
  return width(strength) < kWidestFloat ? lower.to(at::kFloat) : lower;
}

double ForgetAnchor::width(double strength) const {
  return strength * static_cast<double>(retain_.size(0)) / floor_;
}

void ForgetAnchor::check_solution(const Tensor& matrix, const Tensor& x,
                                  const Tensor& wanted) const {
  // Beside the probes, numbers of about 1, that stand for an update: what is taken out of it may be
  // next to nothing, and is then rounding.
  const double scale =
      std::sqrt(squared_norm(matrix) * (squared_norm(x) + static_cast<double>(x.numel())));
  const double residual = std::sqrt(squared_norm(at::mm(matrix, x) - wanted));
  if (residual <= 1e-9 * scale + 1e-300) return;
  throw Error(ExitCode::kInternal,
              fmt::format("{}: the solution of the ridge system failed: residual {:.1e}", site_,
                          residual / scale));
}

Rule forget_aware_rule(const ForgetAnchor& anchor) {
  return {.removed = [&anchor](const Tensor& d, int64_t, double strength) -> Tensor {
            return anchor.removed(d, strength);
          },
          .measures = {[&anchor](const Tensor& m, int64_t) { return anchor.root().response(m); }}};
}

}  // namespace sagesan
