#include "sagesan/text/merge_table.h"

#include <algorithm>
#include <bit>

namespace sagesan::tokenization {

MergeTable::MergeTable(size_t count) {
  const size_t slots = std::bit_ceil(std::max<size_t>(2 * count + 1, 16));  // at most half full
  shift_ = 64 - std::countr_zero(slots);
  slots_.resize(slots);
}

void MergeTable::set(int32_t left, int32_t right, Merge merge) {
  slots_[slot(left, right)] = {left, right, merge};
}

}  // namespace sagesan::tokenization
