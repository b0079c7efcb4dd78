#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "sagesan/support/file.h"

namespace sagesan {

/// A directory that appears complete or not at all: it is built beside the target as
/// `.NAME.partial`, forced to the disk and renamed. What a killed run leaves behind is found and
/// removed by the next.
class OutputDirectory {
 public:
  /// Throws where `target` cannot become an output: it equals, holds or lies in one of `inputs`
  /// (links followed), it is called as an unfinished output is, its parent is missing, it exists
  /// and `overwrite` is false, or it exists and holds no `marker` file, so that only sagesan's own
  /// output is ever replaced. Changes nothing.
  static void check(const std::filesystem::path& target,
                    const std::vector<std::filesystem::path>& inputs, bool overwrite,
                    const std::string& marker);

  /// Removes what a killed run left beside `target` and puts back an output that it had moved away,
  /// as the constructor does; for a target that is not to be written again. Throws like it.
  static void recover(const std::filesystem::path& target,
                      const std::function<void(const std::string&)>& notice);

  /// Makes the temporary directory; `notice` is told what a killed run left there. `check` comes
  /// first. Throws `IoError` where another run is writing to the same target.
  OutputDirectory(const std::filesystem::path& target, bool overwrite, std::string marker,
                  const std::function<void(const std::string&)>& notice);
  /// Removes the temporary directory unless it was committed.
  ~OutputDirectory();
  OutputDirectory(const OutputDirectory&) = delete;
  OutputDirectory& operator=(const OutputDirectory&) = delete;

  /// Where to put the files, each of them finished (forced to the disk) by its writer.
  const std::filesystem::path& path() const { return partial_; }
  /// Renames to the target; with `overwrite` an old output, which still holds its `marker`, is
  /// exchanged and then removed. Where it throws, the target is as it was.
  void commit();

 private:
  /// Tells and takes away what a killed run left.
  void take_over(const std::function<void(const std::string&)>& notice);
  /// Returns where the old output is now; empty where there was none.
  std::filesystem::path move_to_target();

  std::filesystem::path target_;
  std::filesystem::path partial_;
  bool overwrite_;
  std::string marker_;
  bool committed_ = false;
  FileDescriptor lock_;
};

}  // namespace sagesan
