// A libsagesan_jobs.so with bugs, for the program to report.
#include <new>
#include <stdexcept>

#include "module/jobs.h"

namespace {

sagesan::InspectResult inspect(const sagesan::InspectOptions&, const sagesan::Progress&) {
  throw std::logic_error("what cannot be\n  and where");
}

sagesan::EvaluateResult evaluate(const sagesan::EvaluateOptions&, const sagesan::Progress&,
                                 const std::function<void(const std::string&)>&) {
  throw std::bad_alloc();
}

}  // namespace

extern "C" const sagesan::Jobs* sagesan_jobs() {
  static const sagesan::Jobs kJobs = {.version = SAGESAN_VERSION,
                                      .set_threads = [](int threads) { return threads; },
                                      .is_reference_blas = [] { return false; },
                                      .inspect = &inspect,
                                      .evaluate = &evaluate};
  return &kJobs;
}
