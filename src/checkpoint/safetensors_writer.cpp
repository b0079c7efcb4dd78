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

/// The 8 bytes of its length and the header itself.
std::string make_header(const std::vector<TensorLayout>& tensors,
                        const std::map<std::string, std::string>& metadata) {
  // The header must keep the order given, which nlohmann's sorted objects would not.
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t end = 0;
  for (const TensorLayout& tensor : tensors) {
    const uint64_t begin = end;
    end += byte_count(tensor);
    header[tensor.name] = {{"dtype", dtype_name(tensor.dtype)},
                           {"shape", tensor.shape},
                           {"data_offsets", {begin, end}}};
  }
  std::string text = header.dump();
  // The data starts aligned, as the reference writes it.
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + text;
}

uint64_t total_bytes(const std::vector<TensorLayout>& tensors) {
  uint64_t total = 0;
  for (const TensorLayout& tensor : tensors) total += byte_count(tensor);
  return total;
}

}  // namespace

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path,
                                     const std::vector<TensorLayout>& tensors,
                                     const std::map<std::string, std::string>& metadata)
    : file_(path, make_header(tensors, metadata).size() + total_bytes(tensors)) {
  const std::string header = make_header(tensors, metadata);
  file_.write(0, std::as_bytes(std::span(header)));
  uint64_t offset = header.size();
  for (const TensorLayout& tensor : tensors) {
    const uint64_t bytes = byte_count(tensor);
    const bool fresh = missing_.emplace(tensor.name, Place{offset, bytes}).second;
    SAGESAN_ASSERT(fresh);
    offset += bytes;
  }
}

void SafetensorsWriter::write(const std::string& name, std::span<const std::byte> bytes) {
  const auto place = missing_.find(name);
  SAGESAN_ASSERT(place != missing_.end() && place->second.bytes == bytes.size());
  file_.write(place->second.offset, bytes);
  missing_.erase(place);
}

void SafetensorsWriter::finish() {
  SAGESAN_ASSERT(missing_.empty());
  file_.finish();
}

void write_safetensors(const std::filesystem::path& path, const std::vector<TensorBytes>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<TensorLayout> layout;
  layout.reserve(tensors.size());
  for (const TensorBytes& tensor : tensors)
    layout.push_back({tensor.name, tensor.dtype, tensor.shape});
  SafetensorsWriter writer(path, layout, metadata);
  for (const TensorBytes& tensor : tensors) writer.write(tensor.name, tensor.bytes);
  writer.finish();
}

}  // namespace sagesan
