#include "sagesan/checkpoint/writer.h"

#include <vector>

#include "sagesan/support/error.h"
#include "sagesan/support/file.h"

namespace sagesan {

struct CheckpointWriter::Shard {
  OutputFile file;
  uint64_t missing;  ///< bytes of data not yet written
};

CheckpointWriter::CheckpointWriter(const Checkpoint& like, const std::filesystem::path& directory) {
  for (const auto& source : like.shards()) {
    const uint64_t size = source->file()->size();
    auto shard = std::make_unique<Shard>(Shard{
        OutputFile(directory / source->path().filename(), size), size - source->header_bytes()});
    shard->file.copy_from(*source->file(), 0, 0, source->header_bytes());
    shards_[source.get()] = std::move(shard);
  }
}

CheckpointWriter::~CheckpointWriter() = default;

CheckpointWriter::Shard& CheckpointWriter::shard_of(const StoredTensor& tensor) {
  const auto found = shards_.find(tensor.file);
  SAGESAN_ASSERT(found != shards_.end());
  return *found->second;
}

void CheckpointWriter::copy(const StoredTensor& tensor) {
  Shard& shard = shard_of(tensor);
  shard.file.copy_from(*tensor.file->file(), tensor.info->offset, tensor.info->offset,
                       tensor.info->bytes);
  shard.missing -= tensor.info->bytes;
}

void CheckpointWriter::write(const StoredTensor& tensor, uint64_t start,
                             std::span<const std::byte> bytes) {
  SAGESAN_ASSERT(start <= tensor.info->bytes && bytes.size() <= tensor.info->bytes - start);
  Shard& shard = shard_of(tensor);
  shard.file.write(tensor.info->offset + start, bytes);
  shard.missing -= bytes.size();
}

void CheckpointWriter::finish() {
  for (const auto& [source, shard] : shards_) {
    SAGESAN_ASSERT(shard->missing == 0);
    shard->file.finish();
  }
}

void copy_companion_files(const std::filesystem::path& unlearned, const std::filesystem::path& base,
                          const std::filesystem::path& directory) {
  const std::vector<const char*> model = {"config.json", "generation_config.json",
                                          "model.safetensors.index.json"};
  const std::vector<const char*> tokenizer = {"tokenizer.json",    "tokenizer_config.json",
                                              "tokenizer.model",   "special_tokens_map.json",
                                              "added_tokens.json", "vocab.json",
                                              "merges.txt",        "chat_template.jinja"};
  const auto copy = [&](const std::filesystem::path& from, const char* name) {
    if (!std::filesystem::is_regular_file(from / name)) return false;
    const InputFile source(from / name);
    OutputFile target(directory / name, source.size());
    target.copy_from(source, 0, 0, source.size());
    target.finish();
    return true;
  };
  for (const char* name : model) copy(unlearned, name);
  bool found = false;
  for (const char* name : tokenizer) found = copy(unlearned, name) || found;
  if (found) return;
  for (const char* name : tokenizer) copy(base, name);
}

}  // namespace sagesan
