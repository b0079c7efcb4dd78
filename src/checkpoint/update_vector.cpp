#include "sagesan/checkpoint/update_vector.h"

#include <algorithm>
#include <cstring>

namespace sagesan {

size_t UpdateVector::changed_count() const {
  return static_cast<size_t>(
      std::count_if(updates.begin(), updates.end(), [](const Update& u) { return u.changed; }));
}

const Update* UpdateVector::find(const std::string& name) const {
  const auto found = std::find_if(updates.begin(), updates.end(),
                                  [&](const Update& update) { return update.name == name; });
  return found == updates.end() ? nullptr : &*found;
}

bool same_bytes(const StoredTensor& a, const StoredTensor& b) {
  constexpr size_t kPart = size_t{256} << 10;
  if (a.info->dtype != b.info->dtype || a.info->shape != b.info->shape) return false;
  std::vector<std::byte> left(std::min<uint64_t>(a.info->bytes, kPart));
  std::vector<std::byte> right(left.size());
  for (uint64_t start = 0; start < a.info->bytes; start += kPart) {
    const auto count = std::min<uint64_t>(a.info->bytes - start, kPart);
    a.read(start, std::span(left.data(), count));
    b.read(start, std::span(right.data(), count));
    if (std::memcmp(left.data(), right.data(), count) != 0) return false;
  }
  return true;
}

}  // namespace sagesan
