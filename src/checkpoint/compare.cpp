#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <future>
#include <map>

#include "sagesan/checkpoint/update_vector.h"
#include "sagesan/support/error.h"
#include "sagesan/support/hash.h"
#include "sagesan/support/stage_clock.h"

namespace sagesan {
namespace {

/// Bytes read at a time: both files are still in the cache when they are hashed and compared.
constexpr size_t kBlock = size_t{256} << 10;
/// More would only take turns at the disk.
constexpr int kMostThreads = 4;

/// Identities of one checkpoint's tensors; a computed one is identified by its files.
class Identities {
 public:
  explicit Identities(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  /// Null where the bytes of `tensor` say nothing of the checkpoint, or were asked for already.
  /// Never moves.
  Hasher* start(const StoredTensor& tensor) {
    if (checkpoint_.is_computed() || checkpoint_.find(tensor.info->name).info != tensor.info)
      return nullptr;
    const auto [place, fresh] = hashers_.try_emplace(tensor.info->name);
    if (!fresh) return nullptr;
    place->second.add_text(tensor.info->name);
    place->second.add_text(dtype_name(tensor.info->dtype));
    place->second.add_text(shape_text(tensor.info->shape));
    return &place->second;
  }

  /// One hash over the tensors' hashes in the order of their names, when all were read.
  std::string finish() const {
    Hasher all;
    if (checkpoint_.is_computed()) {
      for (const std::filesystem::path& file : checkpoint_.files()) all.add_text(hash_file(file));
    }
    for (const auto& [name, hasher] : hashers_) all.add_text(hasher.hex());
    return all.hex();
  }

 private:
  const Checkpoint& checkpoint_;
  std::map<std::string, Hasher> hashers_;
};

/// A tensor to read, or none.
struct Side {
  StoredTensor tensor = {};
  Hasher* hasher = nullptr;

  uint64_t bytes() const { return tensor ? tensor.info->bytes : 0; }
};

/// Reads tensors, or two that belong together, on several threads.
class Scan {
 public:
  void add(const Side& left, const Side& right = {}, bool* differ = nullptr) {
    items_.push_back({left, right, differ});
    total_ += items_.back().left.bytes() + items_.back().right.bytes();
  }
  /// What of a checkpoint was not asked for yet.
  void add_rest(const Checkpoint& checkpoint, Identities& identities) {
    if (checkpoint.is_computed()) return;
    for (const StoredTensor& tensor : checkpoint.tensors()) {
      if (Hasher* hasher = identities.start(tensor)) add({tensor, hasher});
    }
  }

  /// `progress` is called on this thread alone. Throws what it throws, and `InputError` for values
  /// that are not finite.
  void run(std::string_view stage, const Progress& progress, int threads) {
    const auto report = [&] {
      if (progress) progress(stage, static_cast<double>(done_), static_cast<double>(total_));
    };
    std::vector<std::future<void>> others;
    const struct Stop {  // before the others' ends are waited for
      std::atomic<bool>& stopped;
      ~Stop() { stopped = true; }
    } stop{stopped_};
    for (int i = 1; i < std::min(threads, kMostThreads); ++i)
      others.push_back(std::async(std::launch::async, [this] { take_or_stop(); }));
    take(report);
    for (std::future<void>& other : others) {
      while (other.wait_for(std::chrono::milliseconds(100)) != std::future_status::ready) report();
      other.get();
    }
    report();
  }

 private:
  struct Item {
    Side left, right;
    bool* differ;
  };

  /// On another thread: what goes wrong there ends all.
  void take_or_stop() {
    try {
      take([] {});
    } catch (...) {
      stopped_ = true;
      throw;
    }
  }

  /// Takes one item after another until there is none.
  template <typename Report>
  void take(const Report& report) {
    std::vector<std::byte> left(kBlock);
    std::vector<std::byte> right(kBlock);
    for (size_t i = next_++; i < items_.size(); i = next_++) {
      const Item& item = items_[i];
      bool differ = false;
      for (uint64_t start = 0; start < std::max(item.left.bytes(), item.right.bytes());
           start += kBlock) {
        if (stopped_) return;
        const std::span<const std::byte> one = read(item.left, start, left);
        const std::span<const std::byte> other = read(item.right, start, right);
        differ = differ || one.size() != other.size() ||
                 std::memcmp(one.data(), other.data(), one.size()) != 0;
        done_ += one.size() + other.size();
        report();
      }
      if (item.differ != nullptr) *item.differ = *item.differ || differ;
    }
  }

  static std::span<const std::byte> read(const Side& side, uint64_t start,
                                         std::vector<std::byte>& block) {
    if (start >= side.bytes()) return {};
    const auto part = std::span(block.data(), std::min<uint64_t>(side.bytes() - start, kBlock));
    side.tensor.read(start, part);
    if (side.hasher != nullptr) side.hasher->add(part);
    if (holds_non_finite(side.tensor.info->dtype, part) && !is_buffer(side.tensor.info->name)) {
      throw InputError(side.tensor.where(), "holds NaN or infinity: the weights are not finite");
    }
    return part;
  }

  std::vector<Item> items_;
  uint64_t total_ = 0;
  std::atomic<uint64_t> done_ = 0;
  std::atomic<size_t> next_ = 0;
  std::atomic<bool> stopped_ = false;
};

}  // namespace

UpdateVector compare(const Checkpoint& base, const Checkpoint& unlearned, const Progress& progress,
                     const PairHints& hints, int threads) {
  UpdateVector result = pair_tensors(base, unlearned, hints);
  const StageClock clock("compare", total_bytes(base.tensors()) + total_bytes(unlearned.tensors()));
  Identities base_identities(base);
  Identities unlearned_identities(unlearned);
  Scan scan;
  for (Update& update : result.updates) {
    update.changed = update.is_computed || update.base.info->dtype != update.unlearned.info->dtype;
    if (update.is_computed) continue;  // nobody computes anything to leave it as it was
    Hasher* base_hash = base_identities.start(update.base);
    Hasher* unlearned_hash = unlearned_identities.start(update.unlearned);
    scan.add({update.base, base_hash}, {update.unlearned, unlearned_hash}, &update.changed);
  }
  scan.add_rest(base, base_identities);
  scan.add_rest(unlearned, unlearned_identities);
  scan.run("compare", progress, threads);
  result.base_identity = base_identities.finish();
  result.unlearned_identity = unlearned_identities.finish();
  return result;
}

std::string checkpoint_identity(const Checkpoint& checkpoint, const Progress& progress,
                                int threads) {
  Identities identities(checkpoint);
  Scan scan;
  scan.add_rest(checkpoint, identities);
  scan.run("identify", progress, threads);
  return identities.finish();
}

}  // namespace sagesan
