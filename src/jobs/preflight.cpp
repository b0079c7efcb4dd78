#include "sagesan/jobs/preflight.h"

#include <algorithm>
#include <filesystem>

namespace sagesan {

bool Preflight::check(const std::function<void()>& step) {
  try {
    step();
    return true;
  } catch (const Error& error) {
    keep(error);
  } catch (const std::filesystem::filesystem_error& error) {
    keep(IoError(error.path1().string(), error.code().message()));
  }
  return false;
}

void Preflight::keep(const Error& error) {
  // Several steps may look at the same file.
  if (std::find(problems_.begin(), problems_.end(), error.what()) == problems_.end())
    problems_.emplace_back(error.what());
  if (!code_) code_ = error.code();
}

void Preflight::finish() const {
  if (!code_) return;
  std::string message;
  for (const std::string& problem : problems_) message += (message.empty() ? "" : "\n") + problem;
  throw Error(*code_, message);
}

}  // namespace sagesan
