#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sagesan/checkpoint/tensor_file.h"

namespace sagesan {

/// The weights of a model that lie in one file, and what says in which of several a tensor lies.
inline constexpr const char* kWeightsFile = "model.safetensors";
inline constexpr const char* kWeightsIndex = "model.safetensors.index.json";
inline constexpr const char* kPickleFile = "pytorch_model.bin";
inline constexpr const char* kPickleIndex = "pytorch_model.bin.index.json";

/// A tensor where it is stored. Valid as long as its `Checkpoint`.
struct StoredTensor {
  const TensorFile* file = nullptr;
  const TensorInfo* info = nullptr;

  explicit operator bool() const { return info != nullptr; }
  void read(uint64_t start, std::span<std::byte> buffer) const { file->read(*info, start, buffer); }
  /// "DIR/model.safetensors: tensor 'name'", for messages.
  std::string where() const;
};

/// The weights of a model, or some of them: a Hugging Face checkpoint directory (model.safetensors,
/// or the shards that model.safetensors.index.json lists; the same as pytorch_model.bin), a
/// directory with one weights file of another name, or that file alone.
class Checkpoint {
 public:
  /// Opens every shard and checks the headers against the index. Throws `InputError`.
  static Checkpoint open(const std::filesystem::path& path);
  /// The same of a whole model: of a directory. Throws `InputError` for a file.
  static Checkpoint open_model(const std::filesystem::path& directory);
  /// A checkpoint whose tensors are computed from `files`, whose bytes identify it.
  static Checkpoint compute(const std::filesystem::path& path, std::unique_ptr<TensorFile> tensors,
                            std::vector<std::filesystem::path> files);

  /// The directory, or the file.
  const std::filesystem::path& path() const { return path_; }
  const std::vector<std::unique_ptr<TensorFile>>& shards() const { return shards_; }
  /// The index of the shards; empty where there is none.
  const std::filesystem::path& index() const { return index_; }
  /// By name; an empty handle where there is none.
  StoredTensor find(const std::string& name) const;
  /// By shard, then in the order of the bytes.
  std::vector<StoredTensor> tensors() const;
  /// Of a computed one.
  const std::vector<std::filesystem::path>& files() const { return files_; }
  bool is_computed() const { return !files_.empty(); }

 private:
  void add_shard(std::unique_ptr<TensorFile> shard);
  void open_shards(const std::filesystem::path& directory, const std::filesystem::path& index);

  std::filesystem::path path_, index_;
  std::vector<std::unique_ptr<TensorFile>> shards_;
  std::map<std::string, StoredTensor> by_name_;
  std::vector<std::filesystem::path> files_;
};

/// Of their data.
uint64_t total_bytes(const std::vector<StoredTensor>& tensors);

/// Says that these will be read soon: the disk fetches them, at most 1 GiB, while something else is
/// computed.
void will_read(const std::vector<StoredTensor>& tensors);

/// Throws `InputError` where a directory holds an adapter beside a whole model: which of them is
/// meant, nobody knows.
void check_is_one_thing(const std::filesystem::path& directory);

}  // namespace sagesan
