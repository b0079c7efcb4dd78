#include "sagesan/checkpoint/update_vector.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>

#include "sagesan/support/error.h"
#include "sagesan/support/hash.h"
#include "sagesan/support/stage_clock.h"

namespace sagesan {
namespace {

/// Bytes read at a time: both files are still in the cache when they are hashed and compared.
constexpr size_t kBlock = size_t{256} << 10;

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

namespace {

/// Identities of one checkpoint's tensors, as far as they are known.
class Identities {
 public:
  Identities(const Checkpoint& checkpoint, std::vector<std::byte>& block)
      : checkpoint_(checkpoint), block_(block) {}

  /// Null where the bytes of `tensor` say nothing of the checkpoint, or were hashed already.
  Hasher* start(const StoredTensor& tensor) {
    if (checkpoint_.is_computed() || checkpoint_.find(tensor.info->name).info != tensor.info)
      return nullptr;
    const auto [place, fresh] = hashers_.emplace(tensor.info->name, start_identity(*tensor.info));
    return fresh ? &place->second : nullptr;
  }

  /// Reads what nobody compared.
  std::string finish(const std::function<void(uint64_t bytes)>& advance) {
    if (checkpoint_.is_computed()) return hash_files();
    for (const StoredTensor& tensor : checkpoint_.tensors()) {
      const auto [place, fresh] = hashers_.emplace(tensor.info->name, start_identity(*tensor.info));
      if (!fresh) continue;
      for (uint64_t start = 0; start < tensor.info->bytes; start += kBlock) {
        const auto part =
            std::span(block_.data(), std::min<uint64_t>(tensor.info->bytes - start, kBlock));
        tensor.read(start, part);
        place->second.add(part);
        advance(part.size());
      }
    }
    std::map<std::string, std::string> identities;
    for (auto& [name, hasher] : hashers_) identities[name] = hasher.hex();
    return combine(identities);
  }

 private:
  std::string hash_files() const {
    Hasher hasher;
    for (const std::filesystem::path& file : checkpoint_.files()) hasher.add_text(hash_file(file));
    return hasher.hex();
  }

  const Checkpoint& checkpoint_;
  std::vector<std::byte>& block_;
  std::map<std::string, Hasher> hashers_;
};

}  // namespace

UpdateVector compare(const Checkpoint& base, const Checkpoint& unlearned, const Progress& progress,
                     const PairHints& hints) {
  UpdateVector result = pair_tensors(base, unlearned, hints);
  const StageClock clock("compare", total_bytes(base.tensors()) + total_bytes(unlearned.tensors()));
  std::vector<std::byte> before(kBlock);
  std::vector<std::byte> after(kBlock);
  Identities base_identities(base, before);
  Identities unlearned_identities(unlearned, after);
  double done = 0;
  const auto total =
      static_cast<double>(total_bytes(base.tensors()) +
                          (unlearned.is_computed() ? 0 : total_bytes(unlearned.tensors())));
  const auto advance = [&](uint64_t bytes) {
    done += static_cast<double>(bytes);
    if (progress) progress("compare", std::min(done, total), total);
  };
  for (Update& update : result.updates) {
    update.changed = update.is_computed || update.base.info->dtype != update.unlearned.info->dtype;
    if (update.is_computed) continue;  // nobody computes anything to leave it as it was
    Hasher* base_hash = base_identities.start(update.base);
    Hasher* unlearned_hash = unlearned_identities.start(update.unlearned);
    const uint64_t base_bytes = update.base.info->bytes;
    const uint64_t unlearned_bytes = update.unlearned.info->bytes;
    for (uint64_t start = 0; start < std::max(base_bytes, unlearned_bytes); start += kBlock) {
      const auto part = [&](uint64_t bytes, std::vector<std::byte>& block) {
        return std::span(block.data(),
                         start < bytes ? std::min<uint64_t>(bytes - start, kBlock) : 0);
      };
      const auto base_part = part(base_bytes, before);
      const auto unlearned_part = part(unlearned_bytes, after);
      if (!base_part.empty()) update.base.read(start, base_part);
      if (!unlearned_part.empty()) update.unlearned.read(start, unlearned_part);
      if (base_hash != nullptr) base_hash->add(base_part);
      if (unlearned_hash != nullptr) unlearned_hash->add(unlearned_part);
      update.changed = update.changed || base_part.size() != unlearned_part.size() ||
                       std::memcmp(base_part.data(), unlearned_part.data(), base_part.size()) != 0;
      advance(base_part.size() + unlearned_part.size());
    }
  }
  result.base_identity = base_identities.finish(advance);
  result.unlearned_identity = unlearned_identities.finish(advance);
  return result;
}

std::string checkpoint_identity(const Checkpoint& checkpoint, const Progress& progress) {
  std::vector<std::byte> block(kBlock);
  double done = 0;
  const auto total = static_cast<double>(total_bytes(checkpoint.tensors()));
  return Identities(checkpoint, block).finish([&](uint64_t bytes) {
    done += static_cast<double>(bytes);
    if (progress) progress("identify", done, total);
  });
}

}  // namespace sagesan
