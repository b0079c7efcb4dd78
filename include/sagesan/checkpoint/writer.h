#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "sagesan/checkpoint/output_layout.h"

namespace sagesan {

/// Writes a new checkpoint. Positions are known from the start, so tensors come in any order and in
/// parts.
class CheckpointWriter {
 public:
  /// Creates every file of `layout` in `directory` at its full size with its header. Throws
  /// `IoError` where the disk is too small.
  CheckpointWriter(const OutputLayout& layout, const std::filesystem::path& directory);
  ~CheckpointWriter();

  /// What a tensor of the pair is stored in; nothing where the output leaves it out.
  std::optional<DType> dtype(const StoredTensor& tensor) const;
  /// Copies elements byte for byte; their dtype must be the output's.
  void copy(const TensorPart& part);
  /// Writes `bytes`, in the output's dtype, as the elements of `tensor` from `start` on.
  void write(const StoredTensor& tensor, uint64_t start, std::span<const std::byte> bytes);
  /// Forces everything to the disk. Every byte must have been written.
  void finish();

 private:
  struct Shard;
  struct Place {
    Shard* shard;
    uint64_t offset;  ///< in the file
    DType dtype;
  };
  const std::vector<Place>* places(const StoredTensor& tensor) const;

  std::vector<std::unique_ptr<Shard>> shards_;
  std::map<const TensorInfo*, std::vector<Place>> places_;
};

}  // namespace sagesan
