#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

namespace sagesan::tokenization {

/// Byte strings and a number for each, made once and searched by prefix. The children of a node
/// lie beside each other: a step is a `memchr` over a few bytes.
class ByteTrie {
 public:
  /// The strings must differ from each other and not be empty, the numbers not be negative.
  explicit ByteTrie(std::vector<std::pair<std::string_view, int32_t>> entries = {});

  /// Calls `visit(length, number)` for every string that `text` has at `position`, the shortest
  /// first.
  template <typename Visit>
  void prefixes(std::string_view text, size_t position, const Visit& visit) const {
    uint32_t node = roots_[static_cast<unsigned char>(text[position])];
    for (size_t length = 1; node != 0; ++length) {
      if (numbers_[node] >= 0) visit(length, numbers_[node]);
      if (position + length >= text.size()) return;
      const uint32_t first = children_[node];
      const uint32_t count = children_[node + 1] - first;
      const void* found =
          count == 0 ? nullptr
                     : std::memchr(labels_.data() + first,
                                   static_cast<unsigned char>(text[position + length]), count);
      if (found == nullptr) return;
      node = first + static_cast<uint32_t>(static_cast<const unsigned char*>(found) -
                                           (labels_.data() + first));
    }
  }

  bool empty() const { return numbers_.size() == 1; }

 private:
  std::array<uint32_t, 256> roots_{};  // node by first byte, 0: none
  // By node, breadth first; node 0 is the root. A node's children end where the next one's begin.
  std::vector<uint32_t> children_;
  std::vector<int32_t> numbers_;
  std::vector<unsigned char> labels_;
};

}  // namespace sagesan::tokenization
