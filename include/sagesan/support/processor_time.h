#pragma once

#include <chrono>
#include <ctime>

namespace sagesan {

/// Of this thread: a program that was stopped, or that others keep from running, has not taken
/// long. Asking for it costs more than the clock does.
inline std::chrono::nanoseconds processor_time() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

}  // namespace sagesan
