#include "sagesan/text/byte_trie.h"

#include <algorithm>

namespace sagesan::tokenization {

ByteTrie::ByteTrie(std::vector<std::pair<std::string_view, int32_t>> entries) {
  std::sort(entries.begin(), entries.end());
  // The strings [begin, end) share their first `depth` bytes, which lead to one node.
  struct Range {
    size_t begin;
    size_t end;
    size_t depth;
  };
  std::vector<Range> nodes = {{0, entries.size(), 0}};
  labels_.push_back(0);
  for (size_t node = 0; node < nodes.size(); ++node) {
    auto [begin, end, depth] = nodes[node];
    const bool complete = begin < end && entries[begin].first.size() == depth;
    numbers_.push_back(complete ? entries[begin].second : -1);
    if (complete) ++begin;
    children_.push_back(static_cast<uint32_t>(nodes.size()));
    while (begin < end) {
      const char label = entries[begin].first[depth];
      size_t next = begin + 1;
      while (next < end && entries[next].first[depth] == label) ++next;
      if (node == 0) {
        roots_[static_cast<unsigned char>(label)] = static_cast<uint32_t>(nodes.size());
      }
      labels_.push_back(static_cast<unsigned char>(label));
      nodes.push_back({begin, next, depth + 1});
      begin = next;
    }
  }
  children_.push_back(static_cast<uint32_t>(nodes.size()));
}

}  // namespace sagesan::tokenization
