#include "sagesan/spectral/moment_matrix.h"

#include <fmt/format.h>

#include <cmath>

#include "sagesan/support/error.h"

namespace sagesan {

void check_active(const SecondMoment& moment, const std::string& site) {
  if (moment.trace() > 0) return;
  throw Error(ExitCode::kBadInput,
              fmt::format("{}: the retain texts give no activation at all there (all zero)", site));
}

MomentMatrix::MomentMatrix(const SecondMoment& moment, const std::string& site)
    : mean_energy_(moment.trace() / moment.weight() / static_cast<double>(moment.channels())) {
  check_active(moment, site);
  if (moment.has_rows()) {
    rows_ = moment.rows().to(at::kDouble) / std::sqrt(moment.weight());
    root_ = root_of_moment(moment, site);
  } else {
    matrix_ = moment.sum() / moment.weight();
    root_ = root_of_matrix(matrix_, site);
  }
}

Tensor MomentMatrix::times(const Tensor& m) const {
  const Tensor wide = m.to(at::kDouble);
  return matrix_.defined() ? at::mm(wide, matrix_) : at::mm(at::mm(wide, rows_.t()), rows_);
}

double MomentMatrix::response(const Tensor& m) const { return root_.response(m); }

}  // namespace sagesan
