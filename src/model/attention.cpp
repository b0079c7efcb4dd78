#include <algorithm>
#include <limits>

#include "sagesan/model/decoder.h"

namespace sagesan {

Tensor causal_attention(const Tensor& queries, const Tensor& keys, const Tensor& values,
                        double scale, int64_t window, double softcap) {
  constexpr int64_t kQueryBlock = 128;
  const int64_t texts = queries.size(0);
  const int64_t tokens = queries.size(1);
  const int64_t heads = queries.size(2);
  const int64_t channels = queries.size(3);
  const int64_t before = keys.size(1) - tokens;
  const int64_t key_heads = keys.size(2);
  const int64_t group = heads / key_heads;
  const int64_t batch = texts * key_heads;
  // [texts, key heads, group, tokens, channels]: the queries of a group share their keys without a
  // copy.
  const Tensor q =
      (queries * scale).view({texts, tokens, key_heads, group, channels}).permute({0, 2, 3, 1, 4});
  const Tensor k = keys.permute({0, 2, 3, 1});  // [texts, key heads, channels, tokens]
  const Tensor v = values.permute({0, 2, 1, 3});
  std::vector<Tensor> parts;
  for (int64_t start = 0; start < tokens; start += kQueryBlock) {
    const int64_t count = std::min(kQueryBlock, tokens - start);
    const int64_t position = before + start;
    const int64_t first = window > 0 ? std::max<int64_t>(0, position - window + 1) : 0;
    const int64_t seen = position + count - first;
    const Tensor rows = q.narrow(3, start, count).reshape({batch, group * count, channels});
    const Tensor columns = k.narrow(3, first, seen).reshape({batch, channels, seen});
    Tensor scores = at::bmm(rows, columns).view({batch, group, count, seen});
    if (softcap > 0) scores.div_(softcap).tanh_().mul_(softcap);
    // Without a window the last keys alone are hidden from some of the queries.
    const int64_t open = window > 0 ? 0 : seen - count;
    const auto integers = at::TensorOptions().dtype(at::kLong).device(queries.device());
    const Tensor query_position = at::arange(position, position + count, integers).unsqueeze(1);
    const Tensor key_position = at::arange(first + open, first + seen, integers).unsqueeze(0);
    Tensor hidden = key_position > query_position;
    if (window > 0) hidden = hidden.logical_or(key_position <= query_position - window);
    scores.narrow(3, open, seen - open)
        .masked_fill_(hidden, -std::numeric_limits<float>::infinity());
    const Tensor weights = at::softmax(scores, -1).view({batch, group * count, seen});
    const Tensor mixed = at::bmm(weights, v.narrow(2, first, seen).reshape({batch, seen, channels}))
                             .view({texts, key_heads, group, count, channels});
    parts.push_back(mixed.permute({0, 3, 1, 2, 4}).reshape({texts, count, heads * channels}));
  }
  return parts.size() == 1 ? parts.front() : at::cat(parts, 1);
}

}  // namespace sagesan
