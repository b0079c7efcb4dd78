#include "padded_texts.h"

#include <algorithm>
#include <numeric>

namespace sagesan {

PaddedTexts::PaddedTexts(int64_t start, std::vector<int64_t> lengths)
    : start_(start),
      longest_(*std::max_element(lengths.begin(), lengths.end())),
      tokens_(std::accumulate(lengths.begin(), lengths.end(), int64_t{0})),
      lengths_(std::move(lengths)) {}

Tensor PaddedTexts::pad(const Tensor& x) const {
  const auto texts = static_cast<int64_t>(lengths_.size());
  const Tensor own = x.narrow(0, start_, tokens_);
  const std::vector<int64_t> shape = {texts, longest_, x.size(1), x.size(2)};
  if (texts * longest_ == tokens_) return own.reshape(shape);
  std::vector<int64_t> rows;
  int64_t first = 0;
  for (const int64_t length : lengths_) {
    for (int64_t i = 0; i < longest_; ++i) rows.push_back(first + std::min(i, length - 1));
    first += length;
  }
  return own.index_select(0, at::tensor(rows, at::kLong).to(x.device())).view(shape);
}

Tensor PaddedTexts::unpad(const Tensor& x) const {
  if (x.size(0) == tokens_) return x;
  std::vector<int64_t> rows;
  for (size_t text = 0; text < lengths_.size(); ++text) {
    for (int64_t i = 0; i < lengths_[text]; ++i)
      rows.push_back(static_cast<int64_t>(text) * longest_ + i);
  }
  return x.index_select(0, at::tensor(rows, at::kLong).to(x.device()));
}

std::vector<PaddedTexts> padded_texts(const std::vector<int64_t>& lengths) {
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
    result.emplace_back(start, std::vector(begin + static_cast<std::ptrdiff_t>(first),
                                           begin + static_cast<std::ptrdiff_t>(end)));
    start += tokens;
    first = end;
  }
  return result;
}

}  // namespace sagesan
