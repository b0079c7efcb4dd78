#include "padded_texts.h"

#include <algorithm>
#include <numeric>

namespace sagesan {

PaddedTexts::PaddedTexts(int64_t start, const std::vector<int64_t>& lengths, at::Device device)
    : start_(start),
      tokens_(std::accumulate(lengths.begin(), lengths.end(), int64_t{0})),
      texts_(static_cast<int64_t>(lengths.size())),
      longest_(*std::max_element(lengths.begin(), lengths.end())) {
  if (texts_ * longest_ == tokens_) return;
  std::vector<int64_t> sources;
  std::vector<int64_t> own;
  int64_t first = 0;
  for (const int64_t length : lengths) {
    for (int64_t i = 0; i < longest_; ++i) {
      if (i < length) own.push_back(static_cast<int64_t>(sources.size()));
      sources.push_back(first + std::min(i, length - 1));
    }
    first += length;
  }
  sources_ = at::tensor(sources, at::kLong).to(device);
  own_ = at::tensor(own, at::kLong).to(device);
}

Tensor PaddedTexts::pad(const Tensor& x) const {
  const Tensor rows = x.narrow(0, start_, tokens_);
  return (sources_.defined() ? rows.index_select(0, sources_) : rows)
      .reshape({texts_, longest_, x.size(1), x.size(2)});
}

Tensor PaddedTexts::unpad(const Tensor& x) const {
  return own_.defined() ? x.index_select(0, own_) : x;
}

std::vector<PaddedTexts> padded_texts(const std::vector<int64_t>& lengths, at::Device device) {
  constexpr int64_t kRows = 2048;
  std::vector<PaddedTexts> result;
  int64_t start = 0;
  for (size_t first = 0; first < lengths.size();) {
    int64_t longest = lengths[first];
    int64_t tokens = lengths[first];
    size_t end = first + 1;
    for (; end < lengths.size(); ++end) {
      const int64_t more = std::max(longest, lengths[end]);
      const int64_t padded = more * static_cast<int64_t>(end - first + 1);
      if (padded > kRows || padded > 2 * (tokens + lengths[end])) break;
      longest = more;
      tokens += lengths[end];
    }
    const auto begin = lengths.begin();
    result.emplace_back(start,
                        std::vector(begin + static_cast<std::ptrdiff_t>(first),
                                    begin + static_cast<std::ptrdiff_t>(end)),
                        device);
    start += tokens;
    first = end;
  }
  return result;
}

}  // namespace sagesan
