#include "sagesan/support/threads.h"

#include <dlfcn.h>
#include <sched.h>

#include <algorithm>

#include "sagesan/support/tensor.h"

namespace sagesan {
namespace {

/// OpenBLAS's functions, looked up at run time: whether libblas.so.3 is OpenBLAS is the machine's
/// choice.
template <typename Function>
Function* find_function(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_DEFAULT, name));
}

int usable_cores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (sched_getaffinity(0, sizeof cores, &cores) != 0) return 1;
  return std::max(1, CPU_COUNT(&cores));
}

}  // namespace

int set_threads(int threads) {
  if (threads <= 0) threads = usable_cores();
  at::set_num_threads(threads);
  if (auto* set = find_function<void(int)>("openblas_set_num_threads")) set(threads);
  return threads;
}

std::string blas_name() {
  if (auto* config = find_function<char*()>("openblas_get_config")) return config();
  return is_reference_blas() ? "reference BLAS" : "CPU BLAS";
}

bool is_reference_blas() {
  // Netlib's library exports the Fortran names and nothing of its own.
  const bool external = dlsym(RTLD_DEFAULT, "sgemm_") != nullptr;
  return external && dlsym(RTLD_DEFAULT, "openblas_get_config") == nullptr &&
         dlsym(RTLD_DEFAULT, "MKL_Get_Version_String") == nullptr &&
         dlsym(RTLD_DEFAULT, "bli_info_get_version_str") == nullptr;
}

}  // namespace sagesan
