#include "sagesan/checkpoint/safetensors_writer.h"

#include <nlohmann/json.hpp>

#include "sagesan/support/checked.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

uint64_t byte_count(const TensorLayout& tensor) {
  std::optional<int64_t> bits = dtype_bits(tensor.dtype);
  for (const int64_t size : tensor.shape) {
    bits = checked_multiply(*bits, size);
    SAGESAN_ASSERT(bits);
  }
  return static_cast<uint64_t>(*bits / 8);
}

void add_entry(nlohmann::ordered_json& header, const TensorLayout& tensor, uint64_t begin,
               uint64_t end) {
  header[tensor.name] = {
      {"dtype", dtype_name(tensor.dtype)}, {"shape", tensor.shape}, {"data_offsets", {begin, end}}};
}

/// The header must keep the order given, which nlohmann's sorted objects would not.
nlohmann::ordered_json start_header(const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  return header;
}

/// Bytes that the header with its length takes at most, so that the data starts aligned.
uint64_t header_room(const std::vector<TensorLayout>& most,
                     const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = start_header(metadata);
  const uint64_t end = total_bytes(most);  // no offset has more digits
  for (const TensorLayout& tensor : most) add_entry(header, tensor, end, end);
  return sizeof(uint64_t) + (header.dump().size() + 7) / 8 * 8;
}

}  // namespace

uint64_t total_bytes(const std::vector<TensorLayout>& tensors) {
  uint64_t total = 0;
  for (const TensorLayout& tensor : tensors) total += byte_count(tensor);
  return total;
}

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path,
                                     std::vector<TensorLayout> most,
                                     const std::map<std::string, std::string>& metadata,
                                     uint64_t bytes)
    : announced_(std::move(most)),
      metadata_(metadata),
      room_(header_room(announced_, metadata)),
      file_(path, room_ + bytes) {}

void SafetensorsWriter::write(const TensorLayout& tensor, std::span<const std::byte> bytes) {
  SAGESAN_ASSERT(byte_count(tensor) == bytes.size());
  const bool fresh = written_.emplace(tensor.name, Place{tensor, end_, end_ + bytes.size()}).second;
  SAGESAN_ASSERT(fresh);
  file_.write(room_ + end_, bytes);
  end_ += bytes.size();
}

void SafetensorsWriter::finish() {
  nlohmann::ordered_json header = start_header(metadata_);
  for (const TensorLayout& tensor : announced_) {
    const auto found = written_.find(tensor.name);
    if (found == written_.end()) continue;
    add_entry(header, found->second.tensor, found->second.begin, found->second.end);
    written_.erase(found);
  }
  SAGESAN_ASSERT(written_.empty());
  std::string text = header.dump();
  const uint64_t length = room_ - sizeof(uint64_t);
  SAGESAN_ASSERT(text.size() <= length);
  text.resize(length, ' ');  // the format allows spaces behind the object
  file_.write(0, std::as_bytes(std::span(&length, 1)));
  file_.write(sizeof length, std::as_bytes(std::span(text)));
  file_.finish();
}

void write_safetensors(const std::filesystem::path& path, const std::vector<TensorBytes>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<TensorLayout> layout;
  layout.reserve(tensors.size());
  for (const TensorBytes& tensor : tensors)
    layout.push_back({tensor.name, tensor.dtype, tensor.shape});
  SafetensorsWriter writer(path, layout, metadata, total_bytes(layout));
  for (const TensorBytes& tensor : tensors)
    writer.write({tensor.name, tensor.dtype, tensor.shape}, tensor.bytes);
  writer.finish();
}

}  // namespace sagesan
