#include "sagesan/spectral/probes.h"

#include <cmath>
#include <numbers>

namespace sagesan {

Tensor probe_vectors(const Tensor& matrix) {
  const int64_t size = matrix.size(1);
  Tensor result = at::empty({size, 4}, at::kDouble);
  auto* value = result.data_ptr<double>();
  for (int64_t i = 0; i < size * 4; ++i) {
    const double turn = static_cast<double>(i + 1) * std::numbers::phi;
    value[i] = 2 * (turn - std::floor(turn)) - 1;
  }
  return result.to(matrix.device());
}

}  // namespace sagesan
