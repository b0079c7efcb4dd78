#include "sagesan/checkpoint/checkpoint.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>

#include "sagesan/support/error.h"
#include "sagesan/support/json.h"

namespace sagesan {
namespace {

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

/// tensor name -> shard file name, both checked.
std::map<std::string, std::string> read_index(const std::filesystem::path& path) {
  const Json json = read_json_file(path);
  const JsonObject index(json, path.string());
  const Json& weights = index.require("weight_map");
  if (!weights.is_object() || weights.empty())
    index.fail("weight_map", "expected tensor names and files");
  std::map<std::string, std::string> result;
  for (const auto& [name, value] : weights.items()) {
    if (!value.is_string())
      index.fail("weight_map", fmt::format("{}: expected a file name", quote(name)));
    const auto file = value.get<std::string>();
    if (file.empty() || file.find('/') != std::string::npos || file == "." || file == ".." ||
        file.find('\0') != std::string::npos) {
      index.fail("weight_map", fmt::format("{} is no file name inside the directory", quote(file)));
    }
    result[name] = file;
  }
  return result;
}

[[noreturn]] void fail_without_weights(const std::filesystem::path& directory) {
  std::string hint;
  for (const auto& [file, name] :
       {std::pair{"adapter_config.json", "a PEFT adapter"},
        {"pytorch_model.bin", "a PyTorch pickle checkpoint"},
        {"pytorch_model.bin.index.json", "a PyTorch pickle checkpoint"}}) {
    if (std::filesystem::exists(directory / file)) {
      hint = fmt::format(
          "; it holds {}, which this version does not read: save the whole model as "
          "safetensors",
          name);
      break;
    }
  }
  throw InputError(directory.string(), fmt::format("no {} or {}{}", kSingle, kIndex, hint));
}

}  // namespace

std::string StoredTensor::where() const {
  return fmt::format("{}: tensor {}", file->path().string(), quote(info->name));
}

void Checkpoint::add_shard(const std::filesystem::path& path) {
  auto shard = std::make_unique<SafetensorsFile>(path);
  for (const TensorInfo& tensor : shard->tensors()) {
    const auto [place, inserted] =
        by_name_.try_emplace(tensor.name, StoredTensor{shard.get(), &tensor});
    if (!inserted) {
      throw InputError(path.string(), fmt::format("tensor {} stands in {} too", quote(tensor.name),
                                                  place->second.file->path().string()));
    }
  }
  shards_.push_back(std::move(shard));
}

Checkpoint Checkpoint::open(const std::filesystem::path& directory) {
  if (!std::filesystem::exists(directory))
    throw InputError(directory.string(), "no such directory");
  if (!std::filesystem::is_directory(directory)) {
    throw InputError(directory.string(), "is no directory; expected a checkpoint directory");
  }
  Checkpoint checkpoint;
  checkpoint.directory_ = directory;
  const bool single = std::filesystem::exists(directory / kSingle);
  const bool sharded = std::filesystem::exists(directory / kIndex);
  if (single && sharded) {
    throw InputError(directory.string(),
                     fmt::format("holds both {} and {}: remove the stale one", kSingle, kIndex));
  }
  if (!single && !sharded) fail_without_weights(directory);
  if (single) {
    checkpoint.add_shard(directory / kSingle);
    return checkpoint;
  }
  const auto index = read_index(directory / kIndex);
  std::set<std::string> files;
  for (const auto& [name, file] : index) files.insert(file);
  for (const std::string& file : files) checkpoint.add_shard(directory / file);
  for (const auto& [name, file] : index) {
    const StoredTensor tensor = checkpoint.find(name);
    if (!tensor || tensor.file->path().filename() != file) {
      throw InputError((directory / kIndex).string(),
                       fmt::format("tensor {} is not in {}", quote(name), quote(file)));
    }
  }
  for (const auto& [name, tensor] : checkpoint.by_name_) {
    if (!index.contains(name))
      throw InputError(tensor.where(), fmt::format("not listed in {}", kIndex));
  }
  return checkpoint;
}

StoredTensor Checkpoint::find(const std::string& name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? StoredTensor{} : found->second;
}

std::vector<StoredTensor> Checkpoint::tensors() const {
  std::vector<StoredTensor> result;
  for (const auto& shard : shards_) {
    for (const TensorInfo& tensor : shard->tensors()) result.push_back({shard.get(), &tensor});
  }
  return result;
}

uint64_t Checkpoint::bytes() const {
  uint64_t total = 0;
  for (const auto& shard : shards_) total += shard->file()->size();
  return total;
}

}  // namespace sagesan
