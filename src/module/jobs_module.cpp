#include "module/jobs.h"
#include "sagesan/support/huge_pages.h"
#include "sagesan/support/memory.h"

/// The one symbol that libsagesan_jobs.so shows (exports.map).
extern "C" const sagesan::Jobs* sagesan_jobs() {
  static constexpr sagesan::Jobs kJobs = {
      .version = SAGESAN_VERSION,
      .set_threads = &sagesan::set_threads,
      .is_reference_blas = &sagesan::is_reference_blas,
      .stage_times = &sagesan::stage_times,
      .sanitize = &sagesan::sanitize,
      .sweep = &sagesan::sweep,
      .batch = &sagesan::batch,
      .inspect = &sagesan::inspect,
      .evaluate = &sagesan::evaluate,
      .collect = &sagesan::collect,
      .merge = &sagesan::merge,
      .demo = &sagesan::demo::run_demo,
  };
  sagesan::keep_free_memory();
  sagesan::use_huge_pages();
  return &kJobs;
}
