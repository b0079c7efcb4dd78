#include "sagesan/checkpoint/output_layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "sagesan/checkpoint/safetensors.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

constexpr const char* kDelta = "delta.safetensors";
constexpr size_t kMostNameBytes = 255;  // of Linux's file systems

/// "model-00001-of-00002.safetensors" of pytorch_model-00001-of-00002.bin; a file that is alone is
/// the whole model, whatever its name.
std::string output_name(const std::filesystem::path& shard, bool alone) {
  if (alone) return kWeightsFile;
  std::string stem = shard.stem().string();
  if (stem.starts_with("pytorch_model"))
    stem.replace(0, std::string("pytorch_model").size(), "model");
  return stem + ".safetensors";
}

class Layout {
 public:
  Layout(const UpdateVector& updates, const OutputOptions& options)
      : updates_(updates), options_(options) {
    for (const Update& update : updates.updates) by_name_.emplace(update.name, &update);
  }

  /// The unlearned checkpoint's shards.
  std::vector<OutputShard> as_unlearned(const Checkpoint& unlearned) const {
    return as(unlearned, [&](const StoredTensor& stored) {
      if (is_tied_copy(stored)) return put(stored, *by_name_.at(updates_.tied_embedding));
      return put(stored, stored, stored.info->dtype);
    });
  }

  /// The base's shards; what it lacks follows at the end.
  std::vector<OutputShard> as_base(const Checkpoint& base) const {
    std::set<std::string> names;
    std::vector<OutputShard> shards = as(base, [&](const StoredTensor& stored) {
      names.insert(stored.info->name);
      const auto found =
          by_name_.find(is_tied_copy(stored) ? updates_.tied_embedding : stored.info->name);
      if (found == by_name_.end()) return put(stored, stored, stored.info->dtype);
      return put(stored, *found->second);
    });
    std::vector<OutputTensor>& last = shards.back().tensors;
    for (const Update& update : updates_.updates) {
      if (!names.contains(update.name)) last.push_back(put(update.unlearned, update));
    }
    for (const TensorPart& part : updates_.verbatim) {
      if (part.start == 0) last.push_back(put(part.tensor, part.tensor, part.tensor.info->dtype));
    }
    return shards;
  }

  /// What differs from the base, as the unlearned checkpoint stores it.
  std::vector<OutputShard> as_delta(const Checkpoint& unlearned) const {
    OutputShard shard{.file = kDelta};
    std::set<const TensorInfo*> wanted;
    for (const Update& update : updates_.updates) {
      if (!update.changed && !update.grown) continue;
      if (update.is_computed) {
        shard.tensors.push_back(put(update.base, update));
      } else {
        for (const TensorPart& part : parts_of(update.unlearned)) wanted.insert(part.tensor.info);
      }
    }
    for (const TensorPart& part : updates_.verbatim) wanted.insert(part.tensor.info);
    for (const StoredTensor& stored : unlearned.tensors()) {
      if (wanted.contains(stored.info))
        shard.tensors.push_back(put(stored, stored, stored.info->dtype));
    }
    return {std::move(shard)};
  }

 private:
  template <typename Put>
  static std::vector<OutputShard> as(const Checkpoint& checkpoint, const Put& put) {
    std::vector<OutputShard> shards;
    std::set<std::string> names;
    for (const auto& file : checkpoint.shards()) {
      OutputShard shard{.file = output_name(file->path(), checkpoint.index().empty())};
      if (shard.file.size() > kMostNameBytes) {
        throw InputError(file->path().string(),
                         "the output would be called " + quote(shard.file) +
                             ", which is longer than a name may be: give the shard a shorter one");
      }
      if (!names.insert(shard.file).second) {
        throw InputError(file->path().string(), "two shards would be written as " +
                                                    quote(shard.file) + ": give it another name");
      }
      for (const TensorInfo& info : file->tensors())
        shard.tensors.push_back(put({file.get(), &info}));
      shards.push_back(std::move(shard));
    }
    return shards;
  }

  bool is_tied_copy(const StoredTensor& stored) const {
    return std::any_of(updates_.tied_copies.begin(), updates_.tied_copies.end(),
                       [&](const StoredTensor& copy) { return copy.info == stored.info; });
  }

  /// What goes into the place of `stored`, under its name.
  OutputTensor put(const StoredTensor& stored, const StoredTensor& source, DType own) const {
    const DType dtype = is_computable(own) ? options_.dtype.value_or(own) : own;
    return {{stored.info->name, dtype, source.info->shape}, source};
  }
  OutputTensor put(const StoredTensor& stored, const Update& update) const {
    return put(stored, update.whole(), update.dtype());
  }

  const UpdateVector& updates_;
  const OutputOptions& options_;
  std::map<std::string, const Update*> by_name_;
};

/// Parts of at most `most` bytes in the order given.
std::vector<OutputShard> split(const std::vector<OutputShard>& shards, uint64_t most,
                               const std::string& stem) {
  std::vector<OutputShard> result;
  uint64_t bytes = 0;
  for (const OutputShard& shard : shards) {
    for (const OutputTensor& tensor : shard.tensors) {
      const uint64_t size = data_bytes(tensor.layout);
      if (result.empty() || (bytes > 0 && bytes + size > most)) {
        result.emplace_back();
        bytes = 0;
      }
      bytes += size;
      result.back().tensors.push_back(tensor);
    }
  }
  for (size_t i = 0; i < result.size(); ++i) {
    result[i].file = result.size() == 1
                         ? stem + ".safetensors"
                         : fmt::format("{}-{:05}-of-{:05}.safetensors", stem, i + 1, result.size());
  }
  return result;
}

/// Whether the output's file has the very tensors of `file`, which is a safetensors file.
bool same_layout(const OutputShard& shard, const TensorFile& file) {
  return file.file() != nullptr && shard.file == file.path().filename() &&
         std::equal(shard.tensors.begin(), shard.tensors.end(), file.tensors().begin(),
                    file.tensors().end(), [](const OutputTensor& tensor, const TensorInfo& info) {
                      return tensor.layout.name == info.name && tensor.layout.dtype == info.dtype &&
                             tensor.layout.shape == info.shape;
                    });
}

}  // namespace

std::string_view output_format_name(OutputFormat format) {
  return format == OutputFormat::kFull    ? "full"
         : format == OutputFormat::kDelta ? "delta"
                                          : "adapter";
}

std::string_view output_dtype_name(const std::optional<DType>& dtype) {
  if (!dtype) return "keep";
  return *dtype == DType::kBF16 ? "bf16" : *dtype == DType::kF16 ? "f16" : "f32";
}

uint64_t OutputLayout::bytes() const {
  uint64_t bytes = 0;
  for (const OutputShard& shard : shards) {
    for (const OutputTensor& tensor : shard.tensors) bytes += data_bytes(tensor.layout);
  }
  return bytes;
}

OutputLayout layout_output(const Checkpoint& base, const Checkpoint& unlearned,
                           const UpdateVector& updates, const OutputOptions& options) {
  const Layout layout(updates, options);
  if (options.format == OutputFormat::kAdapter) return {};
  if (options.format == OutputFormat::kDelta) {
    OutputLayout result{.shards = layout.as_delta(unlearned)};
    if (options.shard_bytes > 0) result.shards = split(result.shards, options.shard_bytes, "delta");
    return result;
  }
  const bool whole = updates.only_base.empty() && !unlearned.is_computed();
  const Checkpoint& like = whole ? unlearned : base;
  OutputLayout result{.shards = whole ? layout.as_unlearned(unlearned) : layout.as_base(base)};
  if (options.shard_bytes > 0) {
    result.shards = split(result.shards, options.shard_bytes, "model");
    return result;
  }
  bool same = true;
  for (size_t i = 0; i < result.shards.size(); ++i) {
    if (same_layout(result.shards[i], *like.shards()[i])) {
      result.shards[i].header_of = dynamic_cast<const SafetensorsFile*>(like.shards()[i].get());
    } else {
      same = false;
    }
  }
  if (same) result.index = like.index();
  return result;
}

}  // namespace sagesan
