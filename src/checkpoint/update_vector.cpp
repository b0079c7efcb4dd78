#include "sagesan/checkpoint/update_vector.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "sagesan/support/error.h"
#include "sagesan/support/hash.h"

namespace sagesan {
namespace {

/// Bytes read at a time.
constexpr size_t kBlock = size_t{4} << 20;

Hasher start_identity(const TensorInfo& tensor) {
  Hasher hasher;
  hasher.add_text(tensor.name);
  hasher.add_text(dtype_name(tensor.dtype));
  hasher.add_text(shape_text(tensor.shape));
  return hasher;
}

/// One hash over the tensors' hashes in the order of their names.
std::string combine(const std::map<std::string, std::string>& identities) {
  Hasher hasher;
  for (const auto& [name, identity] : identities) hasher.add_text(identity);
  return hasher.hex();
}

}  // namespace

size_t UpdateVector::changed_count() const {
  return static_cast<size_t>(
      std::count_if(updates.begin(), updates.end(), [](const Update& u) { return u.changed; }));
}

const Update* UpdateVector::find(const std::string& name) const {
  const auto found = std::find_if(updates.begin(), updates.end(),
                                  [&](const Update& update) { return update.name == name; });
  return found == updates.end() ? nullptr : &*found;
}

std::vector<Update> pair_tensors(const Checkpoint& base, const Checkpoint& unlearned) {
  const auto different = [&](const std::string& where, const std::string& message) {
    throw InputError(where, message + ": base and unlearned must be the same model");
  };
  std::vector<Update> updates;
  for (const StoredTensor& tensor : unlearned.tensors()) {
    const StoredTensor before = base.find(tensor.info->name);
    if (!before)
      different(tensor.where(), "not in the base checkpoint " + base.directory().string());
    if (before.info->shape != tensor.info->shape) {
      different(tensor.where(),
                fmt::format("shape {}, in the base {}", shape_text(tensor.info->shape),
                            shape_text(before.info->shape)));
    }
    updates.push_back({tensor.info->name, before, tensor});
  }
  for (const StoredTensor& tensor : base.tensors()) {
    if (!unlearned.find(tensor.info->name)) {
      different(tensor.where(),
                "not in the unlearned checkpoint " + unlearned.directory().string());
    }
  }
  return updates;
}

bool same_bytes(const StoredTensor& a, const StoredTensor& b) {
  if (a.info->dtype != b.info->dtype || a.info->shape != b.info->shape) return false;
  std::vector<std::byte> left(std::min<uint64_t>(a.info->bytes, kBlock));
  std::vector<std::byte> right(left.size());
  for (uint64_t start = 0; start < a.info->bytes; start += kBlock) {
    const auto count = std::min<uint64_t>(a.info->bytes - start, kBlock);
    a.read(start, std::span(left.data(), count));
    b.read(start, std::span(right.data(), count));
    if (std::memcmp(left.data(), right.data(), count) != 0) return false;
  }
  return true;
}

UpdateVector compare(const Checkpoint& base, const Checkpoint& unlearned,
                     const Progress& progress) {
  UpdateVector result{.updates = pair_tensors(base, unlearned)};
  std::vector<std::byte> before(kBlock);
  std::vector<std::byte> after(kBlock);
  std::map<std::string, std::string> base_identities;
  std::map<std::string, std::string> unlearned_identities;
  double done = 0;
  const auto total = static_cast<double>(base.bytes() + unlearned.bytes());
  for (Update& update : result.updates) {
    Hasher base_hash = start_identity(*update.base.info);
    Hasher unlearned_hash = start_identity(*update.unlearned.info);
    const uint64_t base_bytes = update.base.info->bytes;
    const uint64_t unlearned_bytes = update.unlearned.info->bytes;
    update.changed = update.base.info->dtype != update.unlearned.info->dtype;
    for (uint64_t start = 0; start < std::max(base_bytes, unlearned_bytes); start += kBlock) {
      const auto part = [&](uint64_t bytes, std::vector<std::byte>& block) {
        return std::span(block.data(),
                         start < bytes ? std::min<uint64_t>(bytes - start, kBlock) : 0);
      };
      const auto base_part = part(base_bytes, before);
      const auto unlearned_part = part(unlearned_bytes, after);
      if (!base_part.empty()) update.base.read(start, base_part);
      if (!unlearned_part.empty()) update.unlearned.read(start, unlearned_part);
      base_hash.add(base_part);
      unlearned_hash.add(unlearned_part);
      update.changed = update.changed || base_part.size() != unlearned_part.size() ||
                       std::memcmp(base_part.data(), unlearned_part.data(), base_part.size()) != 0;
      done += static_cast<double>(base_part.size() + unlearned_part.size());
      if (progress) progress("compare", done, total);
    }
    base_identities[update.name] = base_hash.hex();
    unlearned_identities[update.name] = unlearned_hash.hex();
  }
  result.base_identity = combine(base_identities);
  result.unlearned_identity = combine(unlearned_identities);
  return result;
}

std::string checkpoint_identity(const Checkpoint& checkpoint, const Progress& progress) {
  std::vector<std::byte> block(kBlock);
  std::map<std::string, std::string> identities;
  double done = 0;
  for (const StoredTensor& tensor : checkpoint.tensors()) {
    Hasher hash = start_identity(*tensor.info);
    for (uint64_t start = 0; start < tensor.info->bytes; start += kBlock) {
      const auto part =
          std::span(block.data(), std::min<uint64_t>(tensor.info->bytes - start, kBlock));
      tensor.read(start, part);
      hash.add(part);
      done += static_cast<double>(part.size());
      if (progress) progress("identify", done, static_cast<double>(checkpoint.bytes()));
    }
    identities[tensor.info->name] = hash.hex();
  }
  return combine(identities);
}

}  // namespace sagesan
