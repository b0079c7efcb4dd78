#include <cstdio>

#include "sagesan/sanitize/solver.h"

int main() {
  const at::Tensor removed = sagesan::removed_from_bias(at::full({4}, 6.0F), 2);
  std::printf("%.3f\n", removed.sum().item<double>());  // 4 * 6 * 2 / (1 + 2)
}
