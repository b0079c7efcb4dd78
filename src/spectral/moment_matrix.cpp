#include "sagesan/spectral/moment_matrix.h"

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

}  // namespace

Tensor root_of_matrix(Tensor& matrix, const std::string& site) {
  const Tensor z = probe_vectors(matrix);
  const Tensor image = at::mm(matrix, z);
  matrix.diagonal().add_(kRootFloor * matrix.diagonal().mean().item<double>());
  const Tensor root = cholesky_factor(matrix, site);
  const double error =
      std::sqrt(squared_norm(at::mm(root, at::mm(root.t(), z)) - image) / squared_norm(image));
  if (!(error <= 1e-6)) {
    throw Error(
        ExitCode::kInternal,
        fmt::format("{}: the Cholesky factor of the second moment is off by {:.1e}", site, error));
  }
  return root.to(at::kFloat);
}

void check_active(const SecondMoment& moment, const std::string& site) {
  if (moment.trace() > 0) return;
  throw Error(ExitCode::kBadInput,
              fmt::format("{}: the retain texts give no activation at all there (all zero)", site));
}

Tensor root_of_moment(const SecondMoment& moment, const std::string& site) {
  if (moment.has_rows()) return moment.rows().t() / std::sqrt(moment.weight());
  Tensor matrix = moment.sum() / moment.weight();
  return root_of_matrix(matrix, site);
}

double response_to(const Tensor& root, const Tensor& m) {
  constexpr int64_t kRows = 8192;
  double result = 0;
  for (int64_t start = 0; start < m.size(0); start += kRows) {
    const Tensor block = m.narrow(0, start, std::min(kRows, m.size(0) - start));
    result += squared_norm(at::mm(block, root));
  }
  return result;
}

MomentMatrix::MomentMatrix(const SecondMoment& moment, const std::string& site)
    : mean_energy_(moment.trace() / moment.weight() / static_cast<double>(moment.channels())) {
  check_active(moment, site);
  if (moment.has_rows()) {
    rows_ = moment.rows().to(at::kDouble) / std::sqrt(moment.weight());
    root_ = root_of_moment(moment, site);
  } else {
    matrix_ = moment.sum() / moment.weight();
    Tensor copy = matrix_.clone();
    root_ = root_of_matrix(copy, site);
  }
}

Tensor MomentMatrix::times(const Tensor& m) const {
  const Tensor wide = m.to(at::kDouble);
  return matrix_.defined() ? at::mm(wide, matrix_) : at::mm(at::mm(wide, rows_.t()), rows_);
}

double MomentMatrix::response(const Tensor& m) const { return response_to(root_, m); }

}  // namespace sagesan
