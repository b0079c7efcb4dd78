#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sagesan/checkpoint/safetensors.h"

namespace sagesan {

/// A tensor where it is stored. Valid as long as its `Checkpoint`.
struct StoredTensor {
  const TensorFile* file = nullptr;
  const TensorInfo* info = nullptr;

  explicit operator bool() const { return info != nullptr; }
  void read(uint64_t start, std::span<std::byte> buffer) const { file->read(*info, start, buffer); }
  /// "DIR/model.safetensors: tensor 'name'", for messages.
  std::string where() const;
};

/// A Hugging Face checkpoint directory: config.json beside `model.safetensors`, or beside the
/// shards that `model.safetensors.index.json` lists.
class Checkpoint {
 public:
  /// Opens every shard and checks the headers against the index. Throws `InputError`.
  static Checkpoint open(const std::filesystem::path& directory);

  const std::filesystem::path& directory() const { return directory_; }
  const std::vector<std::unique_ptr<SafetensorsFile>>& shards() const { return shards_; }
  /// By name; an empty handle where there is none.
  StoredTensor find(const std::string& name) const;
  /// By shard, then in the order of the bytes.
  std::vector<StoredTensor> tensors() const;
  uint64_t bytes() const;

 private:
  void add_shard(const std::filesystem::path& path);

  std::filesystem::path directory_;
  std::vector<std::unique_ptr<SafetensorsFile>> shards_;
  std::map<std::string, StoredTensor> by_name_;
};

}  // namespace sagesan
