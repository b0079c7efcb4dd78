#include "sagesan/sanitize/forget_aware.h"

#include <ATen/ops/cholesky_solve.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_cholesky_ex.h>
#include <fmt/format.h>

#include <cmath>

#include "sagesan/spectral/probes.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

/// A raw moment with mean eigenvalue 1, by its own trace or by `reference`.
Tensor scaled(const SecondMoment& moment, double reference) {
  const double trace = reference > 0 ? reference : moment.trace();
  return moment.sum() * (static_cast<double>(moment.channels()) / trace);
}

}  // namespace

ForgetAnchor::ForgetAnchor(const SecondMoment& retain, double retain_reference,
                           const SecondMoment* forget, double forget_reference, double floor,
                           const std::string& site)
    : site_(site), retain_matrix_(retain, site), retain_(scaled(retain, retain_reference)) {
  SAGESAN_ASSERT(floor > 0);
  anchor_ = at::eye(retain.channels(), retain_.options()) * floor;
  if (forget != nullptr && forget->trace() > 0) anchor_ += scaled(*forget, forget_reference);
}

const Tensor& ForgetAnchor::removal(double strength) const {
  Tensor& removal = removals_[strength];
  if (removal.defined()) return removal;
  const Tensor penalty = retain_ * strength;
  const Tensor matrix = anchor_ + penalty;
  const Tensor factor = std::get<0>(at::linalg_cholesky_ex(matrix));
  // Its transpose solves (A + s S) X = s S, as all three are symmetric.
  const Tensor solution = at::cholesky_solve(penalty, factor);
  const Tensor z = probe_vectors(matrix);
  const Tensor image = at::mm(solution, z);
  const double scale = std::sqrt(squared_norm(matrix) * squared_norm(image));
  const double residual = std::sqrt(squared_norm(at::mm(matrix, image) - at::mm(penalty, z)));
  if (!(residual <= 1e-9 * scale + 1e-300)) {
    throw Error(ExitCode::kInternal,
                fmt::format("{}: the forget-aware solution failed: residual {:.1e}", site_,
                            residual / scale));
  }
  return removal = solution.t().to(at::kFloat).contiguous();
}

Rule forget_aware_rule(const ForgetAnchor& anchor) {
  return {.removed = [&anchor](const Tensor& d, int64_t, double strength) -> Tensor {
            return at::mm(d, anchor.removal(strength));
          },
          .measures = {[&anchor](const Tensor& m, int64_t) { return anchor.response(m); }}};
}

}  // namespace sagesan
