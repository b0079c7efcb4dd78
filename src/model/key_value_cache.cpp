#include "sagesan/model/key_value_cache.h"

#include <numeric>

#include "sagesan/support/error.h"

namespace sagesan {

KeyValueCache::KeyValueCache(const ModelConfiguration& model,
                             const std::vector<int64_t>& capacities, at::Device device)
    : sizes_(capacities.size()), chosen_(capacities.size()) {
  starts_.push_back(0);
  for (const int64_t capacity : capacities) starts_.push_back(starts_.back() + capacity);
  std::iota(chosen_.begin(), chosen_.end(), size_t{0});
  const auto options = at::TensorOptions().dtype(at::kFloat).device(device);
  for (int64_t layer = 0; layer < model.layer_count(); ++layer) {
    for (std::vector<Tensor>* side : {&keys_, &values_}) {
      side->push_back(
          at::empty({starts_.back(), model.key_value_heads, model.head_dimension}, options));
    }
  }
}

int64_t KeyValueCache::token_bytes(const ModelConfiguration& model) {
  constexpr int64_t kSides = 2;
  return kSides * model.layer_count() * model.key_value_heads * model.head_dimension *
         static_cast<int64_t>(sizeof(float));
}

void KeyValueCache::choose(std::vector<size_t> texts) { chosen_ = std::move(texts); }

std::vector<int64_t> KeyValueCache::before() const {
  std::vector<int64_t> result;
  for (const size_t text : chosen_) result.push_back(sizes_[text]);
  return result;
}

std::pair<Tensor, Tensor> KeyValueCache::append(int64_t layer, size_t index, const Tensor& keys,
                                                const Tensor& values) {
  const size_t text = chosen_[index];
  const int64_t start = starts_[text];
  const int64_t before = sizes_[text];
  const int64_t count = keys.size(0);
  SAGESAN_ASSERT(start + before + count <= starts_[text + 1]);
  const auto take = [&](const std::vector<Tensor>& side, const Tensor& rows) {
    const Tensor& all = side[static_cast<size_t>(layer)];
    all.narrow(0, start + before, count).copy_(rows);
    return all.narrow(0, start, before + count);
  };
  return {take(keys_, keys), take(values_, values)};
}

void KeyValueCache::advance(const std::vector<int64_t>& lengths) {
  SAGESAN_ASSERT(lengths.size() == chosen_.size());
  for (size_t i = 0; i < lengths.size(); ++i) sizes_[chosen_[i]] += lengths[i];
}

}  // namespace sagesan
