// --threads holds for ATen and for the BLAS alike: processor time over wall time shows it.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>

#include "cli/cli_fixture.h"

namespace sagesan {
namespace {

using testing::TinyModel;

using Threads = testing::CliTest;

/// Of all children that have ended, in seconds.
double processor_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_CHILDREN, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

TEST_F(Threads, OneThreadTakesOneCore) {
  // Large enough that products and decompositions would be shared out.
  TinyModel model;
  model.layers = 2;
  model.hidden = 384;
  model.intermediate = 768;
  model.vocabulary = 256;
  make_pair(model);
  testing::write_file(retain(), testing::tiny_records(10, 200, model.vocabulary));
  const double processor = processor_seconds();
  const auto start = std::chrono::steady_clock::now();
  succeed(sanitize({"-q"}));  // with --threads 1, as always here
  const double wall =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  EXPECT_LE((processor_seconds() - processor) / wall, 1.1);
}

}  // namespace
}  // namespace sagesan
