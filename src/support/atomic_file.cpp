#include "sagesan/support/atomic_file.h"

#include <fmt/format.h>
#include <linux/fs.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

#include "file_bytes.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

/// The process that builds `name` for a target named `target`; nothing where it is no such name.
std::optional<pid_t> builder_of(std::string_view name, std::string_view target) {
  constexpr std::string_view kEnding = ".partial";
  if (!name.starts_with(target) || !name.ends_with(kEnding)) return std::nullopt;
  if (name.size() < target.size() + kEnding.size()) return std::nullopt;
  const std::string numbers(
      name.substr(target.size(), name.size() - target.size() - kEnding.size()));
  pid_t process = 0;
  unsigned long long number = 0;
  int length = 0;
  if (std::sscanf(numbers.c_str(), ".%d.%llu%n", &process, &number, &length) != 2 ||
      static_cast<size_t>(length) != numbers.size() || process <= 0)
    return std::nullopt;
  return process;
}

}  // namespace

void AtomicFile::remove_leftovers(const std::filesystem::path& target) {
  const std::string name = target.filename().string();
  const std::filesystem::path parent = std::filesystem::absolute(target).parent_path();
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(parent, ignored)) {
    const auto process = builder_of(entry.path().filename().string(), name);
    if (process && ::kill(*process, 0) != 0 && errno == ESRCH) ::unlink(entry.path().c_str());
  }
}

AtomicFile::AtomicFile(std::filesystem::path target)
    : target_(std::move(target)), partial_(target_) {
  static std::atomic<uint64_t> made = 0;  // two of one process may have one target
  partial_ += fmt::format(".{}.{}.partial", ::getpid(), made++);
  remove_leftovers(target_);
  ::unlink(partial_.c_str());  // of a killed run that had this number
}

AtomicFile::~AtomicFile() {
  if (!committed_) ::unlink(partial_.c_str());
}

bool AtomicFile::exchange_with_target() {
  if (std::filesystem::is_directory(target_)) return false;  // never for a file
  if (rename_with(partial_, target_, RENAME_EXCHANGE) != 0) {
    if (errno == ENOENT || lacks_rename_flag()) return false;
    throw_errno(target_.string(), "cannot replace");
  }
  try {
    sync_directory(std::filesystem::absolute(target_).parent_path());
  } catch (...) {
    rename_with(partial_, target_, RENAME_EXCHANGE);
    throw;
  }
  ::unlink(partial_.c_str());  // the earlier file
  committed_ = true;
  return true;
}

void AtomicFile::commit(bool overwrite) {
  const bool replaces = overwrite && std::filesystem::exists(target_);
  if (overwrite) {
    if (exchange_with_target()) return;
    rename_to_target("cannot replace");
  } else if (::link(partial_.c_str(), target_.c_str()) == 0) {
    // A link never replaces, on any file system. The other name goes at the end.
  } else if (errno == EEXIST) {
    throw IoError(target_.string(), "appeared while this run was writing; it was not replaced");
  } else {  // where there are no links a plain rename must do
    rename_to_target("cannot rename the finished output");
  }
  try {
    sync_directory(std::filesystem::absolute(target_).parent_path());
  } catch (...) {
    if (!replaces) ::unlink(target_.c_str());
    throw;
  }
}

void AtomicFile::rename_to_target(const char* failure) {
  if (std::rename(partial_.c_str(), target_.c_str()) != 0) throw_errno(target_.string(), failure);
  committed_ = true;
}

}  // namespace sagesan
