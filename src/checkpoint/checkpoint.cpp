#include "sagesan/checkpoint/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "sagesan/checkpoint/adapter.h"
#include "sagesan/checkpoint/links.h"
#include "sagesan/checkpoint/pickle_file.h"
#include "sagesan/checkpoint/quantized.h"
#include "sagesan/checkpoint/safetensors.h"
#include "sagesan/support/error.h"
#include "sagesan/support/json.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;

/// tensor name -> shard file name, both checked.
std::map<std::string, std::string> read_index(const fs::path& path) {
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
    constexpr size_t kMostNameBytes = 255;  // NAME_MAX
    if (file.empty() || file.size() > kMostNameBytes || file.find('/') != std::string::npos ||
        file == "." || file == ".." || file.find('\0') != std::string::npos) {
      index.fail("weight_map", fmt::format("{} is no file name inside the directory", quote(file)));
    }
    result[name] = file;
  }
  return result;
}

bool has_pickle_name(const fs::path& file) {
  const std::string ending = file.extension().string();
  return ending == ".bin" || ending == ".pt" || ending == ".pth";
}

std::unique_ptr<TensorFile> open_weights(const fs::path& file) {
  std::unique_ptr<TensorFile> result;
  if (has_pickle_name(file)) {
    result = std::make_unique<PickleFile>(file);
  } else {
    result = std::make_unique<SafetensorsFile>(file);
  }
  check_not_quantized(*result);
  return result;
}

/// The one weights file of a directory that has none of the usual names.
fs::path find_only_weights(const fs::path& directory) {
  if (Adapter::is_adapter(directory)) {
    throw InputError(directory.string(),
                     "is a PEFT adapter; expected the whole model (an adapter goes with "
                     "--unlearned)");
  }
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (entry.path().extension() == ".safetensors" || has_pickle_name(entry.path()))
      found.push_back(entry.path());
  }
  if (found.size() == 1) return found.front();
  std::sort(found.begin(), found.end());
  std::string which;
  if (!found.empty()) {
    which = fmt::format(", but {} others ({}, ...): name the one that is meant", found.size(),
                        printable(found.front().filename().string()));
  }
  throw InputError(directory.string(),
                   fmt::format("no {} or {}{}", kWeightsFile, kWeightsIndex, which));
}

}  // namespace

std::string StoredTensor::where() const {
  return fmt::format("{}: tensor {}", file->path().string(), quote(info->name));
}

void Checkpoint::add_shard(std::unique_ptr<TensorFile> shard) {
  for (const TensorInfo& tensor : shard->tensors()) {
    const auto [place, inserted] =
        by_name_.try_emplace(tensor.name, StoredTensor{shard.get(), &tensor});
    if (!inserted) {
      throw InputError(shard->path().string(),
                       fmt::format("tensor {} stands in {} too", quote(tensor.name),
                                   place->second.file->path().string()));
    }
  }
  shards_.push_back(std::move(shard));
}

void Checkpoint::open_shards(const fs::path& directory, const fs::path& index_file) {
  index_ = index_file;
  const auto index = read_index(index_file);
  std::set<std::string> files;
  for (const auto& [name, file] : index) files.insert(file);
  for (const std::string& file : files) add_shard(open_weights(directory / file));
  for (const auto& [name, file] : index) {
    const StoredTensor tensor = find(name);
    if (!tensor || tensor.file->path().filename() != file) {
      throw InputError(index_file.string(),
                       fmt::format("tensor {} is not in {}", quote(name), quote(file)));
    }
  }
  for (const auto& [name, tensor] : by_name_) {
    if (!index.contains(name)) {
      throw InputError(tensor.where(),
                       fmt::format("not listed in {}", index_file.filename().string()));
    }
  }
}

void check_is_one_thing(const fs::path& directory) {
  if (!fs::exists(directory / "adapter_config.json")) return;
  for (const char* name : {kWeightsFile, kWeightsIndex, kPickleFile, kPickleIndex}) {
    if (!fs::exists(directory / name)) continue;
    throw InputError(directory.string(),
                     fmt::format("holds an adapter (adapter_config.json) and a whole model ({}): "
                                 "move one of them elsewhere",
                                 name));
  }
}

Checkpoint Checkpoint::open(const fs::path& path) {
  if (!fs::exists(path)) throw InputError(path.string(), "no such directory");
  Checkpoint checkpoint;
  checkpoint.path_ = path;
  if (!fs::is_directory(path)) {
    checkpoint.add_shard(open_weights(path));
    return checkpoint;
  }
  check_links(path);
  check_is_one_thing(path);
  // As transformers: safetensors where there are both.
  for (const auto& [single, index] :
       {std::pair{kWeightsFile, kWeightsIndex}, {kPickleFile, kPickleIndex}}) {
    const bool has_single = fs::exists(path / single);
    const bool has_index = fs::exists(path / index);
    if (has_single && has_index) {
      throw InputError(path.string(),
                       fmt::format("holds both {} and {}: remove the stale one", single, index));
    }
    if (has_single) checkpoint.add_shard(open_weights(path / single));
    if (has_index) checkpoint.open_shards(path, path / index);
    if (has_single || has_index) return checkpoint;
  }
  checkpoint.add_shard(open_weights(find_only_weights(path)));
  return checkpoint;
}

Checkpoint Checkpoint::open_model(const fs::path& directory) {
  if (fs::exists(directory) && !fs::is_directory(directory)) {
    throw InputError(directory.string(),
                     "is a file; expected the directory of a whole model, with its config.json");
  }
  return open(directory);
}

Checkpoint Checkpoint::compute(const fs::path& path, std::unique_ptr<TensorFile> tensors,
                               std::vector<fs::path> files) {
  Checkpoint checkpoint;
  checkpoint.path_ = path;
  checkpoint.add_shard(std::move(tensors));
  checkpoint.files_ = std::move(files);
  SAGESAN_ASSERT(checkpoint.is_computed());
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

uint64_t total_bytes(const std::vector<StoredTensor>& tensors) {
  uint64_t total = 0;
  for (const StoredTensor& tensor : tensors) total += tensor.info->bytes;
  return total;
}

void will_read(const std::vector<StoredTensor>& tensors) {
  uint64_t left = uint64_t{1} << 30;
  for (const StoredTensor& tensor : tensors) {
    const InputFile* file = tensor.file->file();
    if (file == nullptr) continue;  // computed, or not stored as it is
    if (tensor.info->bytes > left) continue;
    left -= tensor.info->bytes;
    file->will_read(tensor.info->offset, tensor.info->bytes);
  }
}

}  // namespace sagesan
