#include "sagesan/checkpoint/arranged_tensors.h"

#include <fmt/format.h>

#include <algorithm>

#include "sagesan/support/error.h"

namespace sagesan {

TensorPart TensorPart::whole(const StoredTensor& tensor) {
  return {tensor, 0, static_cast<uint64_t>(tensor.info->elements())};
}

ArrangedTensors::ArrangedTensors(std::filesystem::path path, const std::vector<Arranged>& tensors)
    : path_(std::move(path)) {
  for (const Arranged& tensor : tensors) {
    const TensorInfo& first = *tensor.parts.front().tensor.info;
    TensorInfo info{.name = tensor.name, .dtype = first.dtype, .shape = tensor.shape};
    const auto size = static_cast<uint64_t>(dtype_bits(first.dtype)) / 8;
    for (const TensorPart& part : tensor.parts) {
      if (part.tensor.info->dtype != first.dtype || dtype_bits(first.dtype) % 8 != 0) {
        throw InputError(part.tensor.where(),
                         fmt::format("dtype {}, but {} of the same tensor has {}: save all in one",
                                     dtype_name(part.tensor.info->dtype), quote(first.name),
                                     dtype_name(first.dtype)));
      }
      info.bytes += part.count * size;
    }
    SAGESAN_ASSERT(info.bytes == static_cast<uint64_t>(info.elements()) * size);
    infos_.push_back(std::move(info));
    parts_.push_back(tensor.parts);
  }
}

const std::vector<TensorPart>& ArrangedTensors::parts(const TensorInfo& tensor) const {
  return parts_.at(static_cast<size_t>(&tensor - infos_.data()));
}

std::vector<TensorPart> parts_of(const StoredTensor& tensor) {
  const auto* arranged = dynamic_cast<const ArrangedTensors*>(tensor.file);
  return arranged != nullptr ? arranged->parts(*tensor.info)
                             : std::vector{TensorPart::whole(tensor)};
}

void ArrangedTensors::read(const TensorInfo& tensor, uint64_t start,
                           std::span<std::byte> buffer) const {
  const auto size = static_cast<uint64_t>(dtype_bits(tensor.dtype)) / 8;
  for (const TensorPart& part : parts(tensor)) {
    const uint64_t bytes = part.count * size;
    if (start >= bytes) {
      start -= bytes;
      continue;
    }
    const auto count = static_cast<size_t>(std::min<uint64_t>(bytes - start, buffer.size()));
    part.tensor.read(part.start * size + start, buffer.first(count));
    buffer = buffer.subspan(count);
    start = 0;
    if (buffer.empty()) return;
  }
  SAGESAN_ASSERT(buffer.empty());
}

}  // namespace sagesan
