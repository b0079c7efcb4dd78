#include "sagesan/jobs/preflight.h"

#include <filesystem>

namespace sagesan {

bool Preflight::check(const std::function<void()>& step) {
  try {
    step();
    return true;
  } catch (const Error& error) {
    problems_.emplace_back(error.what());
    if (!code_) code_ = error.code();
  } catch (const std::filesystem::filesystem_error& error) {
    const IoError converted(error.path1().string(), error.code().message());
    problems_.emplace_back(converted.what());
    if (!code_) code_ = converted.code();
  }
  return false;
}

void Preflight::finish() const {
  if (!code_) return;
  std::string message;
  for (const std::string& problem : problems_) message += (message.empty() ? "" : "\n") + problem;
  throw Error(*code_, message);
}

}  // namespace sagesan
