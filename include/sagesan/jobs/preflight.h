#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sagesan/support/error.h"

namespace sagesan {

/// Collects every problem before the long part starts, so that a user mends them all at once.
class Preflight {
 public:
  /// Runs `step`; an `Error` in it is kept. Returns whether it passed.
  bool check(const std::function<void()>& step);
  /// Throws one `Error` with a line for each different problem and the exit code of the first.
  void finish() const;

 private:
  void keep(const Error& error);

  std::vector<std::string> problems_;
  std::optional<ExitCode> code_;
};

}  // namespace sagesan
