#pragma once

#include "demo/demo.h"
#include "sagesan/jobs/batch.h"
#include "sagesan/jobs/collect.h"
#include "sagesan/jobs/evaluate.h"
#include "sagesan/jobs/inspect.h"
#include "sagesan/jobs/sanitize.h"
#include "sagesan/jobs/sweep.h"
#include "sagesan/support/stage_clock.h"
#include "sagesan/support/threads.h"

namespace sagesan {

/// What the executable calls in libsagesan_jobs.so, the part of the program that needs libtorch. A
/// new job is one line here and one in src/module/jobs_module.cpp. This header and all that it
/// includes are free of libtorch; what a job's result can do by itself (`to_json()`) lies in
/// src/jobs/*_result.cpp, which the executable links too.
struct Jobs {
  const char* version;  ///< of the module; must stay the first member
  decltype(&sagesan::set_threads) set_threads;
  decltype(&sagesan::is_reference_blas) is_reference_blas;
  decltype(&sagesan::stage_times) stage_times;
  decltype(&sagesan::sanitize) sanitize;
  decltype(&sagesan::sweep) sweep;
  decltype(&sagesan::batch) batch;
  decltype(&sagesan::inspect) inspect;
  decltype(&sagesan::evaluate) evaluate;
  decltype(&sagesan::collect) collect;
  decltype(&sagesan::merge) merge;
  decltype(&sagesan::demo::run_demo) demo;
};

/// The module's name, and that of its one symbol, a function `const Jobs*()`.
inline constexpr const char* kJobsModule = "libsagesan_jobs.so";
inline constexpr const char* kJobsSymbol = "sagesan_jobs";

}  // namespace sagesan
