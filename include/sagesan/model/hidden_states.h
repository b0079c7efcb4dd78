#pragma once

#include <filesystem>
#include <optional>

#include "sagesan/support/scratch_file.h"
#include "sagesan/support/tensor.h"

namespace sagesan {

/// The hidden states of all tokens between two layers, float32 `[tokens, hidden]`: in memory, or,
/// where they are too large for it, in a scratch file, of which a block of tokens is in memory at a
/// time.
class HiddenStates {
 public:
  HiddenStates() = default;
  /// In memory.
  HiddenStates(Tensor states) : states_(std::move(states)) {}
  /// In a file in `directory`, undefined until they are stored; blocks are loaded to `device`.
  /// Throws `IoError`.
  HiddenStates(int64_t tokens, int64_t channels, at::Device device,
               const std::filesystem::path& directory);

  /// Rows [start, start + count): in memory those themselves, so that a change of them is a change
  /// here; else a copy, to be stored again.
  Tensor load(int64_t start, int64_t count) const;
  void store(int64_t start, const Tensor& rows);

  /// All of them; only where they are in memory.
  const Tensor& tensor() const;

 private:
  Tensor states_;
  std::optional<ScratchFile> file_;
  int64_t channels_ = 0;  ///< where there is a file
  at::Device device_ = at::kCPU;
};

}  // namespace sagesan
