#pragma once

#include <string>

namespace sagesan {

/// Sets the number of threads of ATen and of OpenBLAS, which keep separate counts, to `threads`;
/// 0 takes the cores that this process may use. Returns the number set.
int set_threads(int threads);

/// The BLAS library behind libtorch, for the report: OpenBLAS's own description, "CPU BLAS"
/// otherwise.
std::string blas_name();

/// True where libtorch runs on the slow reference BLAS (30 times slower than OpenBLAS).
bool is_reference_blas();

}  // namespace sagesan
