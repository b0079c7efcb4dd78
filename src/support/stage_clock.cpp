#include "sagesan/support/stage_clock.h"

#include <algorithm>
#include <mutex>

namespace sagesan {
namespace {

std::mutex mutex;
std::vector<StageTime> times;  // guarded by `mutex`
thread_local StageClock* innermost = nullptr;

void add(std::string_view stage, double seconds, uint64_t bytes) {
  const std::scoped_lock lock(mutex);
  auto found = std::find_if(times.begin(), times.end(),
                            [&](const StageTime& time) { return time.stage == stage; });
  if (found == times.end()) found = times.insert(times.end(), {std::string(stage)});
  found->seconds += seconds;
  found->bytes += bytes;
}

}  // namespace

StageClock::StageClock(std::string_view stage, uint64_t bytes)
    : stage_(stage), outer_(innermost), since_(Clock::now()) {
  if (outer_ != nullptr) outer_->pause(since_);
  add(stage, 0, bytes);
  innermost = this;
}

StageClock::~StageClock() {
  const Clock::time_point now = Clock::now();
  pause(now);
  innermost = outer_;
  if (outer_ != nullptr) outer_->since_ = now;
}

void StageClock::pause(Clock::time_point now) {
  add(stage_, std::chrono::duration<double>(now - since_).count(), 0);
}

std::vector<StageTime> stage_times() {
  const std::scoped_lock lock(mutex);
  return times;
}

}  // namespace sagesan
