#include "sagesan/spectral/moment_root.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "sagesan/spectral/cholesky.h"
#include "sagesan/spectral/probes.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

/// What is added to every direction, of the mean eigenvalue, for a root of what is nearly singular.
constexpr double kRootFloor = 1e-8;
/// Of its diagonal: where more would have to be added, it is no second moment.
constexpr double kMostLift = 1e-2;

/// Columns of a triangular root whose product is taken at a time, without the zeros above them.
int64_t panel_width(int64_t columns) { return std::clamp<int64_t>(columns / 8, 192, 512); }

/// The factor of the matrix, which is too large to be copied for it, and of the floor.
Tensor factor_with_floor(const Tensor& matrix) {
  const Tensor diagonal = matrix.diagonal().clone();
  matrix.diagonal().add_(kRootFloor * diagonal.mean().item<double>());
  Tensor factor = try_cholesky_factor(matrix);
  matrix.diagonal().copy_(diagonal);
  return factor;
}

}  // namespace

Tensor MomentRoot::image(const Tensor& m) const {
  if (!is_lower_triangular) return at::mm(m, values);
  const int64_t columns = values.size(1);
  const int64_t step = panel_width(columns);
  Tensor result = at::empty({m.size(0), columns}, m.options());
  for (int64_t start = 0; start < columns; start += step) {
    const int64_t width = std::min(step, columns - start);
    Tensor panel = result.narrow(1, start, width);
    at::mm_out(panel, m.narrow(1, start, columns - start),
               values.narrow(0, start, columns - start).narrow(1, start, width));
  }
  return result;
}

double MomentRoot::response(const Tensor& m) const {
  constexpr int64_t kRows = 8192;
  double result = 0;
  for (int64_t start = 0; start < m.size(0); start += kRows)
    result += squared_norm(image(m.narrow(0, start, std::min(kRows, m.size(0) - start))));
  return result;
}

MomentRoot root_of_moment(const SecondMoment& moment, const std::string& site) {
  if (moment.has_rows()) return {moment.rows().t() / std::sqrt(moment.weight())};
  Tensor sum = moment.sum();
  return root_of_sum(sum, moment.weight(), site);
}

MomentRoot root_of_sum(Tensor& sum, double weight, const std::string& site) {
  Tensor root = factor_with_floor(sum);
  if (!root.defined()) sum = sum.clone();  // what it shares its numbers with stays
  // Rounding can turn an eigenvalue below zero where channels depend on one another.
  for (double lift = kMomentRounding / 10; !root.defined() && lift < kMostLift; lift *= 10) {
    sum.diagonal().mul_(1 + lift);
    root = factor_with_floor(sum);
  }
  if (!root.defined())
    throw Error(ExitCode::kInternal, site + ": the Cholesky factorization failed");
  const Tensor z = probe_vectors(sum);
  const Tensor image = at::mm(sum, z);
  const double error =
      std::sqrt(squared_norm(at::mm(root, at::mm(root.t(), z)) - image) / squared_norm(image));
  if (!(error <= 1e-6)) {
    throw Error(
        ExitCode::kInternal,
        fmt::format("{}: the Cholesky factor of the second moment is off by {:.1e}", site, error));
  }
  return {root.div_(std::sqrt(weight)).to(at::kFloat), true};
}

}  // namespace sagesan
