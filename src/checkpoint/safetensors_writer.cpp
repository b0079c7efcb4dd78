#include "sagesan/checkpoint/safetensors_writer.h"

#include <cstring>
#include <nlohmann/json.hpp>

#include "sagesan/support/checked.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

/// The JSON of a header, which must keep the order given. Put together from its entries: a
/// nlohmann::ordered_json looks through all keys for each new one.
class HeaderText {
 public:
  explicit HeaderText(const std::map<std::string, std::string>& metadata) {
    if (!metadata.empty()) add("__metadata__", metadata);
  }
  void add(const TensorLayout& tensor, uint64_t begin, uint64_t end) {
    add(tensor.name, nlohmann::ordered_json{{"dtype", dtype_name(tensor.dtype)},
                                            {"shape", tensor.shape},
                                            {"data_offsets", {begin, end}}});
  }
  std::string text() const { return text_ + "}"; }

 private:
  void add(const std::string& key, const nlohmann::ordered_json& value) {
    if (text_.size() > 1) text_ += ',';
    text_ += nlohmann::ordered_json(key).dump();
    text_ += ':';
    text_ += value.dump();
  }
  std::string text_ = "{";
};

/// Bytes that the header with its length takes at most, so that the data starts aligned.
uint64_t header_room(const std::vector<TensorLayout>& most,
                     const std::map<std::string, std::string>& metadata) {
  HeaderText header(metadata);
  const uint64_t end = total_bytes(most);  // no offset has more digits
  for (const TensorLayout& tensor : most) header.add(tensor, end, end);
  return sizeof(uint64_t) + (header.text().size() + 7) / 8 * 8;
}

/// The header with its length and as many spaces behind it (the format allows them) as make
/// `room` bytes; 0: as many as make a multiple of 8.
std::string finish_header(const HeaderText& header, uint64_t room = 0) {
  const std::string text = header.text();
  if (room == 0) room = sizeof(uint64_t) + (text.size() + 7) / 8 * 8;
  const uint64_t length = room - sizeof(uint64_t);
  SAGESAN_ASSERT(text.size() <= length);
  std::string result(room, ' ');
  std::memcpy(result.data(), &length, sizeof length);
  text.copy(result.data() + sizeof length, text.size());
  return result;
}

}  // namespace

uint64_t data_bytes(const TensorLayout& tensor) {
  std::optional<int64_t> bits = dtype_bits(tensor.dtype);
  for (const int64_t size : tensor.shape) {
    bits = checked_multiply(*bits, size);
    SAGESAN_ASSERT(bits);
  }
  return static_cast<uint64_t>(*bits / 8);
}

std::string safetensors_header(const std::vector<TensorLayout>& tensors,
                               const std::map<std::string, std::string>& metadata) {
  HeaderText header(metadata);
  uint64_t begin = 0;
  for (const TensorLayout& tensor : tensors) {
    const uint64_t end = begin + data_bytes(tensor);
    header.add(tensor, begin, end);
    begin = end;
  }
  return finish_header(header);
}

uint64_t total_bytes(const std::vector<TensorLayout>& tensors) {
  uint64_t total = 0;
  for (const TensorLayout& tensor : tensors) total += data_bytes(tensor);
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
  SAGESAN_ASSERT(data_bytes(tensor) == bytes.size());
  const bool fresh = written_.emplace(tensor.name, Place{tensor, end_, end_ + bytes.size()}).second;
  SAGESAN_ASSERT(fresh);
  file_.write(room_ + end_, bytes);
  end_ += bytes.size();
}

void SafetensorsWriter::finish() {
  HeaderText header(metadata_);
  for (const TensorLayout& tensor : announced_) {
    const auto found = written_.find(tensor.name);
    if (found == written_.end()) continue;
    header.add(found->second.tensor, found->second.begin, found->second.end);
    written_.erase(found);
  }
  SAGESAN_ASSERT(written_.empty());
  const std::string text = finish_header(header, room_);
  file_.write(0, std::as_bytes(std::span(text)));
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
