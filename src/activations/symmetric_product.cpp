#include "sagesan/activations/symmetric_product.h"

#include <algorithm>

#include "sagesan/support/error.h"

namespace sagesan {
namespace {

/// Columns of one panel: nearly half of the products fall away without a separate kernel. Narrower
/// ones leave out more, wider ones keep the matrix product at its rate; of powers of two MKL's
/// float64 product takes half as long again on AMD's processors.
constexpr int64_t kPanelWidth = 192;

}  // namespace

void add_upper_product(const Tensor& sum, const Tensor& x) {
  const int64_t columns = x.size(1);
  SAGESAN_ASSERT(sum.size(0) == columns && sum.size(1) == columns);
  for (int64_t start = 0; start < columns; start += kPanelWidth) {
    const int64_t width = std::min(kPanelWidth, columns - start);
    const Tensor panel = sum.narrow(0, 0, start + width).narrow(1, start, width);
    const Tensor left = x.narrow(1, 0, start + width).t();
    const Tensor right = x.narrow(1, start, width);
    if (x.scalar_type() == sum.scalar_type()) {
      panel.addmm_(left, right);
    } else {
      panel.add_(at::mm(left, right));
    }
  }
}

void mirror_upper(const Tensor& sum) {
  const int64_t columns = sum.size(1);
  for (int64_t start = 0; start < columns; start += kPanelWidth) {
    const int64_t width = std::min(kPanelWidth, columns - start);
    const int64_t rest = columns - start - width;
    const Tensor square = sum.narrow(0, start, width).narrow(1, start, width);
    square.copy_(square.triu() + square.triu(1).t());
    sum.narrow(0, start + width, rest)
        .narrow(1, start, width)
        .copy_(sum.narrow(0, start, width).narrow(1, start + width, rest).t());
  }
}

Tensor symmetric_product(const Tensor& x) {
  Tensor sum = at::zeros({x.size(1), x.size(1)}, x.options());
  add_upper_product(sum, x);
  mirror_upper(sum);
  return sum;
}

}  // namespace sagesan
