#include "sagesan/support/atomic_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>

#include "sagesan/support/error.h"

namespace sagesan {

AtomicFile::AtomicFile(std::filesystem::path target)
    : target_(std::move(target)), partial_(target_) {
  static std::atomic<uint64_t> made = 0;  // two of one process may have one target
  partial_ += fmt::format(".{}.{}.partial", ::getpid(), made++);
  ::unlink(partial_.c_str());  // of a killed run that had this number
}

AtomicFile::~AtomicFile() {
  if (!committed_) ::unlink(partial_.c_str());
}

void AtomicFile::commit(bool overwrite) {
  if (overwrite) {
    if (std::rename(partial_.c_str(), target_.c_str()) != 0)
      throw_errno(target_.string(), "cannot replace");
    committed_ = true;
    return;
  }
  // A link never replaces, on any file system; where there are no links a plain rename must do.
  if (::link(partial_.c_str(), target_.c_str()) == 0) return;  // the other name goes at the end
  if (errno == EEXIST)
    throw IoError(target_.string(), "appeared while this run was writing; it was not replaced");
  if (std::rename(partial_.c_str(), target_.c_str()) != 0)
    throw_errno(target_.string(), "cannot rename the finished output");
  committed_ = true;
}

}  // namespace sagesan
