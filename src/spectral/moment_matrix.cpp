#include "sagesan/spectral/moment_matrix.h"

#include <fmt/format.h>

#include "sagesan/support/error.h"

namespace sagesan {

void check_active(const SecondMoment& moment, const std::string& site) {
  if (moment.trace() > 0) return;
  throw Error(ExitCode::kBadInput,
              fmt::format("{}: the retain texts give no activation at all there (all zero)", site));
}

MomentMatrix::MomentMatrix(const SecondMoment& moment, const std::string& site)
    : weight_(moment.weight()),
      mean_energy_(moment.trace() / weight_ / static_cast<double>(moment.channels())) {
  check_active(moment, site);
  if (moment.has_rows()) {
    rows_ = moment.rows().to(at::kDouble);
    root_ = root_of_moment(moment, site);
  } else {
    sum_ = moment.sum();
    root_ = root_of_sum(sum_, weight_, site);
  }
}

Tensor MomentMatrix::times(const Tensor& m) const {
  const Tensor wide = m.to(at::kDouble);
  const Tensor product =
      sum_.defined() ? at::mm(wide, sum_) : at::mm(at::mm(wide, rows_.t()), rows_);
  return product / weight_;
}

double MomentMatrix::response(const Tensor& m) const { return root_.response(m); }

}  // namespace sagesan
