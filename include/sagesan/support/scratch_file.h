#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

#include "sagesan/support/file.h"

namespace sagesan {

/// A file for what does not fit in memory. It has no name, so nothing is left of it whatever
/// happens to the process, and nobody else can open it.
class ScratchFile {
 public:
  /// In `directory`, with `size` bytes reserved: a full disk shows here. Throws `IoError`.
  ScratchFile(std::filesystem::path directory, uint64_t size);

  /// Both throw `IoError`.
  void read(uint64_t offset, std::span<std::byte> buffer) const;
  void write(uint64_t offset, std::span<const std::byte> bytes);

 private:
  std::filesystem::path directory_;
  FileDescriptor fd_;
};

}  // namespace sagesan
