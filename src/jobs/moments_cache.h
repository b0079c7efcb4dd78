#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "sagesan/jobs/batch.h"
#include "sagesan/jobs/sanitize.h"
#include "sagesan/support/file.h"

namespace sagesan {

/// The directory where moments lie that several jobs share. It is made and locked when one is first
/// wanted.
class MomentsCache {
 public:
  /// `notice` is told what killed runs left there; both must outlive this.
  MomentsCache(const BatchOptions& options, const BatchEvents& events);

  /// Throws `InputError` where the directory is, holds or lies in what a job reads.
  void check() const;
  /// Throws `IoError` where it cannot be made or written to.
  void check_writable() const;
  /// The file for jobs with these texts and a base of this identity: its name is a hash of all that
  /// its content depends on. It need not be there.
  std::filesystem::path file(const SanitizeOptions& options,
                             const std::string& base_identity) const;
  /// Collects that file unless it is there and says of itself what is wanted.
  void provide(const std::filesystem::path& file, const SanitizeOptions& options,
               const std::string& base_identity);
  /// Removes one that is no longer needed, unless they are to be kept.
  void release(const std::filesystem::path& file);
  /// At the end: removes what is the batch's own, with what killed runs left.
  void clean();
  bool exists() const { return std::filesystem::is_directory(options_.cache); }

 private:
  /// Makes and locks the directory. Throws `IoError`, also where another batch is using it.
  void open();

  const BatchOptions& options_;
  const BatchEvents& events_;
  FileDescriptor lock_;
};

}  // namespace sagesan
