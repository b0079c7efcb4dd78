#include "sagesan/sanitize/error_feedback.h"

#include <ATen/ops/cholesky_inverse.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "sagesan/spectral/cholesky.h"
#include "sagesan/spectral/moment_matrix.h"
#include "sagesan/spectral/probes.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

/// Columns whose errors reach the columns behind them in one product.
constexpr int64_t kColumns = 128;
/// Share of the mean energy that is added to every direction, as GPTQ has it.
constexpr double kDamping = 0.01;

}  // namespace

Tensor feedback_factor(const SecondMoment& moment, const std::string& site) {
  check_active(moment, site);
  const int64_t channels = moment.channels();
  Tensor matrix = moment.sum() * (static_cast<double>(channels) / moment.trace());
  matrix.diagonal().add_(kDamping);
  const Tensor z = probe_vectors(matrix);
  const Tensor image = at::mm(matrix, z);
  matrix = cholesky_factor(matrix, site);
  matrix = at::cholesky_inverse(matrix);
  const Tensor factor = cholesky_factor(matrix, site).t();
  matrix = Tensor();
  // factor^T factor is the inverse.
  const Tensor back = at::mm(factor.t(), at::mm(factor, image));
  const double residual = std::sqrt(squared_norm(back - z) / squared_norm(z));
  if (!(residual <= 1e-6)) {
    throw Error(ExitCode::kInternal,
                fmt::format("{}: the factorization for --rounding feedback failed: residual {:.1e}",
                            site, residual));
  }
  return factor.to(at::kFloat).contiguous();
}

Tensor round_with_feedback(const Tensor& w, const Tensor& factor, DType dtype) {
  const int64_t channels = w.size(1);
  // Columns lie one behind the other.
  Tensor left = w.t().contiguous();  // [channels, rows]
  Tensor rounded = at::empty_like(left);
  for (int64_t start = 0; start < channels; start += kColumns) {
    const int64_t count = std::min(kColumns, channels - start);
    Tensor block = left.narrow(0, start, count);
    Tensor errors = at::empty_like(block);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t j = start + i;
      const Tensor column = block[i];
      const Tensor to = round_to(column, dtype).to(at::kFloat);
      const Tensor error = (column - to) / factor[j][j];
      rounded[j].copy_(to);
      errors[i].copy_(error);
      const int64_t rest = count - i - 1;
      if (rest > 0)
        block.narrow(0, i + 1, rest).sub_(at::outer(factor[j].narrow(0, j + 1, rest), error));
    }
    const int64_t behind = channels - start - count;
    if (behind == 0) break;
    const Tensor weights = factor.narrow(0, start, count).narrow(1, start + count, behind);
    left.narrow(0, start + count, behind).sub_(at::mm(weights.t(), errors));
  }
  return round_to(rounded.t().contiguous(), dtype);
}

}  // namespace sagesan
