#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <string_view>

#include "command.h"
#include "sagesan/support/error.h"

namespace sagesan::cli {
namespace {

const Jobs* load() {
  // OpenMP's threads otherwise spin for milliseconds while they wait, against OpenBLAS's; and to
  // sleep at once costs more than it saves: they are waited for again after microseconds. libgomp
  // reads this when it is loaded.
  if (std::getenv("OMP_WAIT_POLICY") == nullptr) ::setenv("GOMP_SPINCOUNT", "20000", 0);
  // OpenBLAS's yield for 2^26 cycles before they sleep, half of all system time. 2^4 is
  // the least it takes.
  ::setenv("OPENBLAS_THREAD_TIMEOUT", "4", 0);
  // Found through the executable's RUNPATH. Global, because libtorch's own plugins and
  // `support/threads` look for the symbols of what comes along with it.
  void* module = ::dlopen(kJobsModule, RTLD_LAZY | RTLD_GLOBAL);
  if (module == nullptr) {
    throw IoError(kJobsModule,
                  fmt::format("cannot be loaded ({}); install sagesan and libtorch again",
                              printable(::dlerror())));
  }
  const auto get = reinterpret_cast<const Jobs* (*)()>(::dlsym(module, kJobsSymbol));
  const Jobs* jobs = get == nullptr ? nullptr : get();
  if (jobs == nullptr || std::string_view(jobs->version) != SAGESAN_VERSION) {
    throw IoError(kJobsModule, fmt::format("is of another version than this sagesan, {}; install "
                                           "sagesan again",
                                           SAGESAN_VERSION));
  }
  return jobs;
}

}  // namespace

const Jobs& jobs() {
  static const Jobs& loaded = *load();
  return loaded;
}

}  // namespace sagesan::cli
