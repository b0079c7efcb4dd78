#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <string>

#include "command.h"
#include "sagesan/support/error.h"

namespace sagesan::cli {
namespace {

using Clock = std::chrono::steady_clock;

volatile std::sig_atomic_t interrupted = 0;
bool bar_shown = false;

void on_signal(int number) {
  if (interrupted != 0) {  // the second one, of whatever kind, ends the program at once
    std::signal(number, SIG_DFL);
    std::raise(number);
  }
  interrupted = 1;
}

std::string time_text(double seconds) {
  const auto whole = std::llround(seconds);
  return whole >= 3600 ? fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60)
                       : fmt::format("{}:{:02}", whole / 60, whole % 60);
}

}  // namespace

void install_signal_handlers() {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    // What the caller ignores stays ignored: nohup, a shell's background job.
    if (std::signal(number, on_signal) == SIG_IGN) std::signal(number, SIG_IGN);
  }
  // A file-size limit and a reader that went away are then errors of the write.
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
}

void clear_progress_bar() {
  if (!bar_shown) return;
  std::fputs("\r\033[K", stderr);
  bar_shown = false;
}

Progress progress_bar(bool quiet) {
  const bool visible = !quiet && ::isatty(STDERR_FILENO) == 1;
  struct State {
    std::string stage;
    Clock::time_point started = Clock::now();
    Clock::time_point drawn = Clock::now();
  };
  auto state = std::make_shared<State>();
  return [=](std::string_view stage, double done, double total) {
    if (interrupted != 0) throw Interrupted();
    if (!visible) return;
    const auto now = Clock::now();
    if (state->stage != stage) *state = {std::string(stage), now, now};
    const double elapsed = std::chrono::duration<double>(now - state->started).count();
    const double share = total > 0 ? std::clamp(done / total, 0.0, 1.0) : 0;
    if (share >= 1) return clear_progress_bar();
    if (elapsed < 2 || now - state->drawn < std::chrono::milliseconds(100)) return;
    state->drawn = now;
    constexpr int kWidth = 30;
    const int filled = static_cast<int>(share * kWidth);
    const std::string left = share > 0 ? time_text(elapsed / share * (1 - share)) + " left" : "";
    std::fputs(fmt::format("\r{:<9} [{:<30}] {:3.0f} %  {}\033[K", stage,
                           std::string(static_cast<size_t>(filled), '#'), share * 100, left)
                   .c_str(),
               stderr);
    std::fflush(stderr);
    bar_shown = true;
  };
}

}  // namespace sagesan::cli
