#pragma once

#include <filesystem>

namespace sagesan {

/// A file that appears complete or not at all: it is built beside the target as
/// `NAME.<process>.<number>.partial` and renamed.
class AtomicFile {
 public:
  /// Removes what killed runs left beside `target`.
  static void remove_leftovers(const std::filesystem::path& target);
  /// Does that, too.
  explicit AtomicFile(std::filesystem::path target);
  /// Removes what was not committed.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Where to write, a name that does not exist; the writer forces its bytes to the disk.
  const std::filesystem::path& path() const { return partial_; }
  /// Renames to the target, replacing a file there at once only where `overwrite`. Throws
  /// `IoError`, and then leaves what was there (but where the file system cannot exchange two
  /// files, and the directory cannot be forced to the disk after the renaming).
  void commit(bool overwrite);

 private:
  void rename_to_target(const char* failure);
  bool exchange_with_target();

  std::filesystem::path target_;
  std::filesystem::path partial_;
  bool committed_ = false;
};

}  // namespace sagesan
