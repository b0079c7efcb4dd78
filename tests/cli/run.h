#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "helpers/files.h"

namespace sagesan::testing {

using Arguments = std::vector<std::string>;

/// How a run of the program ended.
struct RunResult {
  int code = -1;   ///< exit code, or -1
  int signal = 0;  ///< that killed it, or 0
  std::string out, err;
  int64_t max_resident = 0;  ///< bytes, at its most
};

/// The real binary as a child process with its output in files.
class Program {
 public:
  /// `prepare` runs in the child before the program starts; only async-signal-safe calls.
  explicit Program(const Arguments& arguments, const std::function<void()>& prepare = nullptr,
                   const std::string& binary = SAGESAN_BINARY) {
    std::vector<std::string> words = {binary};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> pointers;
    for (std::string& word : words) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    const std::string out = (output_ / "out").string();
    const std::string err = (output_ / "err").string();
    pid_ = ::fork();
    if (pid_ == 0) {
      const int out_fd = ::open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      const int err_fd = ::open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      ::dup2(out_fd, STDOUT_FILENO);
      ::dup2(err_fd, STDERR_FILENO);
      // The tests may run in the background of a shell, which ignores it there.
      ::signal(SIGINT, SIG_DFL);
      // Nothing may hang: a run that does ends by a signal.
      ::alarm(600);
      if (prepare) prepare();
      ::execv(pointers[0], pointers.data());
      ::_exit(127);
    }
  }
  pid_t pid() const { return pid_; }

  /// Waits for the end. The remark on a slow BLAS depends on the machine and is left out.
  RunResult wait() {
    int status = 0;
    rusage usage{};
    EXPECT_EQ(::wait4(pid_, &status, 0, &usage), pid_);
    RunResult result;
    result.max_resident = usage.ru_maxrss * 1024;
    if (WIFEXITED(status)) result.code = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
    result.out = read_file(output_ / "out");
    std::istringstream lines(read_file(output_ / "err"));
    for (std::string line; std::getline(lines, line);) {
      if (line.find("reference BLAS") == std::string::npos) result.err += line + "\n";
    }
    return result;
  }

 private:
  TemporaryDirectory output_;
  pid_t pid_ = -1;
};

inline RunResult run_program(const Arguments& arguments,
                             const std::function<void()>& prepare = nullptr,
                             const std::string& binary = SAGESAN_BINARY) {
  return Program(arguments, prepare, binary).wait();
}

inline Arguments joined(Arguments a, const Arguments& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace sagesan::testing
