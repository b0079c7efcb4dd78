#include "sagesan/support/output_directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "file_bytes.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPartial = ".partial";
constexpr const char* kOld = ".old.partial";
constexpr const char* kAppeared = "appeared while this run was writing; it was not replaced";
constexpr const char* kOtherRun = "another run of sagesan is writing this output";
constexpr const char* kExists = "exists already; choose another --out or pass --overwrite";

/// "dir/out/" and "dir/out" are one target; "." and ".." have no name to build a sibling from.
fs::path without_trailing_slash(const fs::path& path) {
  const fs::path full = fs::absolute(path).lexically_normal();
  return full.has_filename() ? full : full.parent_path();
}

fs::path beside(const fs::path& target, const char* ending) {
  return target.parent_path() / fmt::format(".{}{}", target.filename().string(), ending);
}

void rename_plainly(const fs::path& from, const fs::path& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0)
    throw_errno(to.string(), "cannot rename the finished output");
}

/// Negative where it is no directory.
FileDescriptor open_directory(const fs::path& path) {
  return FileDescriptor(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
}

/// In a directory that others write to, they could have made it, and could change what lies there.
void check_is_own(const FileDescriptor& directory, const fs::path& path) {
  struct stat status {};
  if (::fstat(directory.get(), &status) == 0 && status.st_uid == ::geteuid()) return;
  throw IoError(path.string(), "belongs to another user, and is in the way; have it removed");
}

/// Until the descriptor is closed; false where another one has it.
bool lock(const FileDescriptor& directory) {
  return ::flock(directory.get(), LOCK_EX | LOCK_NB) == 0;
}

/// Whether it is what may be replaced: an output, and no link to one.
bool is_output(const fs::path& place, const std::string& marker) {
  std::error_code ignored;
  return fs::is_directory(fs::symlink_status(place, ignored)) &&
         fs::is_regular_file(place / marker, ignored);
}

/// Whether the open directory is still what has this name: another run may have renamed it.
bool is_same(const FileDescriptor& directory, const fs::path& path) {
  struct stat open {};
  struct stat named {};
  return ::fstat(directory.get(), &open) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         open.st_dev == named.st_dev && open.st_ino == named.st_ino;
}

}  // namespace

void OutputDirectory::check(const fs::path& given, const std::vector<fs::path>& inputs,
                            bool overwrite, const std::string& marker) {
  const fs::path target = without_trailing_slash(given);
  std::error_code ignored;
  const std::string name = target.filename().string();
  if (name.starts_with('.') && name.ends_with(kPartial)) {
    throw InputError(given.string(),
                     "is how an unfinished output is called, which the next run removes; choose "
                     "another --out");
  }
  check_outside(given, inputs);
  const fs::path parent = target.parent_path();
  if (!fs::is_directory(parent, ignored))
    throw IoError(parent.string(), "no such directory to write the output into");
  if (::access(parent.c_str(), W_OK | X_OK) != 0)
    throw_errno(parent.string(), "cannot write into the output's directory");
  if (!fs::exists(fs::symlink_status(target, ignored))) return;
  if (fs::is_symlink(fs::symlink_status(target, ignored)))
    throw InputError(given.string(), "is a link; give the directory itself, or another --out");
  if (!is_output(target, marker)) {
    throw InputError(given.string(),
                     fmt::format("exists already and is not replaced: it holds no {}, so it is no "
                                 "output of sagesan; choose another --out",
                                 marker));
  }
  if (!overwrite) throw InputError(given.string(), kExists);
}

void OutputDirectory::recover(const fs::path& given,
                              const std::function<void(const std::string&)>& notice) {
  const fs::path target = without_trailing_slash(given);
  std::error_code ignored;
  const auto is_left = [&](const char* ending) {
    return fs::is_directory(fs::symlink_status(beside(target, ending), ignored));
  };
  if (is_left(kPartial) || is_left(kOld))
    const OutputDirectory recovered(target, /*overwrite=*/true, "", notice);
}

OutputDirectory::OutputDirectory(const fs::path& target, bool overwrite, std::string marker,
                                 const std::function<void(const std::string&)>& notice)
    : target_(without_trailing_slash(target)),
      partial_(beside(target_, kPartial)),
      overwrite_(overwrite),
      marker_(std::move(marker)) {
  const bool is_left = ::mkdir(partial_.c_str(), 0777) != 0;
  if (is_left && errno != EEXIST) throw_errno(partial_.string(), "cannot create");
  lock_ = open_directory(partial_);
  if (lock_.get() < 0) throw_errno(partial_.string(), "is in the way; remove it");
  if (is_left) check_is_own(lock_, partial_);
  // Thrown from the constructor, so the destructor removes nothing of the other run's.
  if (!lock(lock_) || !is_same(lock_, partial_)) throw IoError(target.string(), kOtherRun);
  try {
    take_over(notice);
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(partial_, ignored);
    throw;
  }
}

void OutputDirectory::take_over(const std::function<void(const std::string&)>& notice) {
  // A run killed between the two renames below left the old output under this name: put it back.
  const fs::path old = beside(target_, kOld);
  std::error_code ignored;
  if (fs::is_directory(old, ignored)) {
    const FileDescriptor opened = open_directory(old);
    check_is_own(opened, old);
    if (!lock(opened)) throw IoError(target_.string(), kOtherRun);
    if (fs::exists(fs::symlink_status(target_, ignored))) {
      notice("removing what an earlier run left: " + old.string());
      fs::remove_all(old);
    } else {
      notice("restoring the output that an interrupted run moved away: " + target_.string());
      rename_plainly(old, target_);
      if (!overwrite_) throw InputError(target_.string(), kExists);
    }
  }
  if (!fs::is_empty(partial_)) {
    notice("removing what a killed run left: " + partial_.string());
    for (const auto& entry : fs::directory_iterator(partial_)) fs::remove_all(entry.path());
  }
}

OutputDirectory::~OutputDirectory() {
  std::error_code ignored;
  if (!committed_) fs::remove_all(partial_, ignored);
}

void OutputDirectory::commit() {
  sync_directory(partial_);
  // The old output stays ours under the name that it gets, which a next run would take over.
  const FileDescriptor old_output = open_directory(target_);
  lock(old_output);  // there may be none
  const fs::path old = move_to_target();
  try {
    sync_directory(target_.parent_path());
  } catch (...) {
    // What may not be on the disk was not written: everything back to its place.
    if (old == partial_) {
      rename_with(partial_, target_, RENAME_EXCHANGE);
    } else if (std::rename(target_.c_str(), partial_.c_str()) == 0 && !old.empty()) {
      std::rename(old.c_str(), target_.c_str());
    }
    throw;
  }
  committed_ = true;
  // What cannot be removed is left for the next run, which says so.
  std::error_code ignored;
  if (!old.empty()) fs::remove_all(old, ignored);
}

fs::path OutputDirectory::move_to_target() {
  if (rename_with(partial_, target_, RENAME_NOREPLACE) == 0) return {};
  if (errno == EEXIST) {
    if (!overwrite_ || !is_output(target_, marker_)) throw IoError(target_.string(), kAppeared);
    if (rename_with(partial_, target_, RENAME_EXCHANGE) == 0) return partial_;
    if (!lacks_rename_flag())
      throw_errno(target_.string(), "cannot exchange with the finished output");
  } else if (!lacks_rename_flag()) {
    throw_errno(target_.string(), "cannot rename the finished output");
  }
  fs::path old;
  if (fs::exists(fs::symlink_status(target_))) {
    if (!overwrite_ || !is_output(target_, marker_)) throw IoError(target_.string(), kAppeared);
    old = beside(target_, kOld);
    rename_plainly(target_, old);
  }
  try {
    rename_plainly(partial_, target_);
  } catch (...) {
    if (!old.empty()) std::rename(old.c_str(), target_.c_str());
    throw;
  }
  return old;
}

}  // namespace sagesan
