#include "sagesan/support/stage_clock.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

namespace sagesan {
namespace {

StageTime time_of(const std::string& stage) {
  const std::vector<StageTime> all = stage_times();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const auto& time) { return time.stage == stage; });
  return found == all.end() ? StageTime{} : *found;
}

TEST(StageClock, EveryMomentCountsOnce) {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::milliseconds kPause(20);
  const Clock::time_point start = Clock::now();
  {
    const StageClock outer("test outer", 100);
    std::this_thread::sleep_for(kPause);
    for (int i = 0; i < 2; ++i) {
      const StageClock inner("test inner", 7);
      std::this_thread::sleep_for(kPause);
    }
  }
  const std::chrono::duration<double> all = Clock::now() - start;
  const std::chrono::duration<double> pause = kPause;
  EXPECT_GE(time_of("test outer").seconds, pause.count());
  EXPECT_GE(time_of("test inner").seconds, 2 * pause.count());
  EXPECT_LE(time_of("test outer").seconds + time_of("test inner").seconds, all.count());
  EXPECT_EQ(time_of("test outer").bytes, 100U);
  EXPECT_EQ(time_of("test inner").bytes, 14U);
}

}  // namespace
}  // namespace sagesan
