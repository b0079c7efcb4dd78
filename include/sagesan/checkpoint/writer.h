#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "sagesan/checkpoint/checkpoint.h"

namespace sagesan {

/// Writes a checkpoint with another one's shards, headers, names, order and dtypes. Positions are
/// known from the start, so tensors come in any order and in parts.
class CheckpointWriter {
 public:
  /// Creates every shard of `like` in `directory` at its full size with its header. Throws
  /// `IoError` where the disk is too small.
  CheckpointWriter(const Checkpoint& like, const std::filesystem::path& directory);
  ~CheckpointWriter();

  /// Copies a tensor of `like` byte for byte.
  void copy(const StoredTensor& tensor);
  /// Writes `bytes` as the new data of `tensor`, a tensor of `like`, from byte `start` of it.
  void write(const StoredTensor& tensor, uint64_t start, std::span<const std::byte> bytes);
  /// Forces everything to the disk. Every byte must have been written.
  void finish();

 private:
  struct Shard;
  Shard& shard_of(const StoredTensor& tensor);

  std::map<const TensorFile*, std::unique_ptr<Shard>> shards_;
};

/// Copies what belongs to a model beside its weights: configuration, generation configuration, the
/// index of the shards and the tokenizer from `unlearned`; the tokenizer's files from `base` where
/// `unlearned` has none of them.
void copy_companion_files(const std::filesystem::path& unlearned, const std::filesystem::path& base,
                          const std::filesystem::path& directory);

}  // namespace sagesan
