#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sagesan {

/// Where a run's time goes. A stage runs while its clock lives; a clock that is started within
/// another one stops that, so that every moment of a thread counts for one stage alone.
class StageClock {
 public:
  /// `stage` must be a literal; `bytes` are those that it reads or writes.
  explicit StageClock(std::string_view stage, uint64_t bytes = 0);
  ~StageClock();
  StageClock(const StageClock&) = delete;
  StageClock& operator=(const StageClock&) = delete;

 private:
  using Clock = std::chrono::steady_clock;
  void pause(Clock::time_point now);

  std::string_view stage_;
  StageClock* outer_;
  Clock::time_point since_;
};

struct StageTime {
  std::string stage;
  double seconds = 0;  ///< of all threads that ran it
  uint64_t bytes = 0;
};

/// Of every stage that this process has run, in the order of their first clocks.
std::vector<StageTime> stage_times();

}  // namespace sagesan
