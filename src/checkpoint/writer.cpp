#include "sagesan/checkpoint/writer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "sagesan/checkpoint/safetensors.h"
#include "sagesan/support/error.h"
#include "sagesan/support/file.h"
#include "sagesan/support/json.h"

namespace sagesan {

namespace {

/// Bytes copied at a time where the kernel cannot.
constexpr uint64_t kCopiedBlock = uint64_t{4} << 20;

std::vector<TensorLayout> layouts(const OutputShard& shard) {
  std::vector<TensorLayout> result;
  result.reserve(shard.tensors.size());
  for (const OutputTensor& tensor : shard.tensors) result.push_back(tensor.layout);
  return result;
}

std::string header(const OutputShard& shard) {
  if (shard.header_of == nullptr) return safetensors_header(layouts(shard), {{"format", "pt"}});
  std::string bytes(shard.header_of->header_bytes(), '\0');
  shard.header_of->file()->read(0, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

void write_index(const OutputLayout& layout, const std::filesystem::path& directory) {
  Json index;  // sorted, as transformers writes it
  index["metadata"]["total_size"] = layout.bytes();
  for (const OutputShard& shard : layout.shards) {
    for (const OutputTensor& tensor : shard.tensors)
      index["weight_map"][tensor.layout.name] = shard.file;
  }
  write_text_file(directory / kWeightsIndex, index.dump(2) + "\n");
}

uint64_t bytes_of(DType dtype, uint64_t elements) {
  return elements * static_cast<uint64_t>(dtype_bits(dtype)) / 8;
}

}  // namespace

struct CheckpointWriter::Shard {
  OutputFile file;
  uint64_t missing;  ///< bytes of data not yet written
};

CheckpointWriter::CheckpointWriter(const OutputLayout& layout,
                                   const std::filesystem::path& directory) {
  for (const OutputShard& described : layout.shards) {
    const std::string head = header(described);
    const uint64_t data = total_bytes(layouts(described));
    shards_.push_back(std::make_unique<Shard>(
        Shard{OutputFile(directory / described.file, head.size() + data), data}));
    Shard& shard = *shards_.back();
    shard.file.write(0, std::as_bytes(std::span(head)));
    uint64_t offset = head.size();
    for (const OutputTensor& tensor : described.tensors) {
      places_[tensor.source.info].push_back({&shard, offset, tensor.layout.dtype});
      offset += data_bytes(tensor.layout);
    }
  }
  if (!layout.index.empty()) {
    copy_to_new_file(layout.index, directory / kWeightsIndex);
  } else if (layout.shards.size() > 1) {
    write_index(layout, directory);
  }
}

CheckpointWriter::~CheckpointWriter() = default;

const std::vector<CheckpointWriter::Place>* CheckpointWriter::places(
    const StoredTensor& tensor) const {
  const auto found = places_.find(tensor.info);
  return found == places_.end() ? nullptr : &found->second;
}

std::optional<DType> CheckpointWriter::dtype(const StoredTensor& tensor) const {
  if (const auto* own = places(tensor)) return own->front().dtype;
  for (const TensorPart& part : parts_of(tensor)) {
    if (const auto* of_part = places(part.tensor)) return of_part->front().dtype;
  }
  return std::nullopt;
}

void CheckpointWriter::copy(const TensorPart& part) {
  const DType dtype = part.tensor.info->dtype;
  SAGESAN_ASSERT(this->dtype(part.tensor) == dtype);
  const uint64_t begin = bytes_of(dtype, part.start);
  const uint64_t bytes = bytes_of(dtype, part.count);
  const auto* own = places(part.tensor);
  if (const InputFile* file = part.tensor.file->file(); file != nullptr && own != nullptr) {
    for (const Place& place : *own) {
      place.shard->file.copy_from(*file, part.tensor.info->offset + begin, place.offset + begin,
                                  bytes);
      place.shard->missing -= bytes;
    }
    return;
  }
  const auto step = kCopiedBlock / std::max<uint64_t>(1, bytes_of(dtype, 1));
  std::vector<std::byte> block(std::min(bytes, bytes_of(dtype, step)));
  for (uint64_t start = 0; start < part.count; start += step) {
    const uint64_t count = std::min(step, part.count - start);
    const std::span some(block.data(), bytes_of(dtype, count));
    part.tensor.read(begin + bytes_of(dtype, start), some);
    write(part.tensor, part.start + start, some);
  }
}

void CheckpointWriter::write(const StoredTensor& tensor, uint64_t start,
                             std::span<const std::byte> bytes) {
  if (const auto* own = places(tensor)) {
    for (const Place& place : *own) {
      place.shard->file.write(place.offset + bytes_of(place.dtype, start), bytes);
      place.shard->missing -= bytes.size();
    }
    return;
  }
  const DType dtype = this->dtype(tensor).value();
  for (const TensorPart& part : parts_of(tensor)) {
    if (bytes.empty()) return;
    if (start >= part.count) {
      start -= part.count;
      continue;
    }
    const uint64_t count =
        std::min<uint64_t>(part.count - start, bytes.size() / bytes_of(dtype, 1));
    // What the other checkpoint lends to an arranged tensor has no place here.
    if (places(part.tensor) != nullptr)
      write(part.tensor, part.start + start, bytes.first(bytes_of(dtype, count)));
    bytes = bytes.subspan(bytes_of(dtype, count));
    start = 0;
  }
}

void CheckpointWriter::finish() {
  for (const auto& shard : shards_) {
    SAGESAN_ASSERT(shard->missing == 0);
    shard->file.finish();
  }
}

}  // namespace sagesan
