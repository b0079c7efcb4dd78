#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace sagesan::tokenization {

/// What a pair of neighbouring tokens becomes. Lower ranks merge first.
struct Merge {
  int32_t rank = -1;  // -1: the pair does not merge
  int32_t id = -1;
};

/// Pairs of token ids and their merges: open addressing, because the lookup is the inner loop of
/// encoding and a node-based map takes several times as long.
class MergeTable {
 public:
  /// `count` is the number of merges that will be set.
  explicit MergeTable(size_t count = 0);

  /// A pair that stands twice keeps its last merge, as in Hugging Face's reader.
  void set(int32_t left, int32_t right, Merge merge);
  Merge find(int32_t left, int32_t right) const { return slots_[slot(left, right)].merge; }

 private:
  struct Slot {
    int32_t left = -1;
    int32_t right = -1;
    Merge merge;
  };

  /// The slot that holds the pair, or the empty one where it would stand.
  size_t slot(int32_t left, int32_t right) const {
    const uint64_t key =
        (static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32) | static_cast<uint32_t>(right);
    size_t index = (key * 0x9E3779B97F4A7C15u) >> shift_;
    while (slots_[index].left >= 0 &&
           (slots_[index].left != left || slots_[index].right != right)) {
      index = (index + 1) & (slots_.size() - 1);
    }
    return index;
  }

  int shift_;  // keeps the top bits of the product: log2 of the number of slots
  std::vector<Slot> slots_;
};

}  // namespace sagesan::tokenization
