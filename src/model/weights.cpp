#include "weights.h"

#include <fmt/format.h>

#include <algorithm>

#include "sagesan/support/error.h"
#include "sagesan/support/stage_clock.h"

namespace sagesan {
namespace {

/// Of 16-bit weights that are converted while they lie in the processor's cache.
constexpr uint64_t kBlockBytes = uint64_t{1} << 20;

}  // namespace

Tensor Linear::operator()(const Tensor& x) const {
  const StageClock clock("linear");
  return bias.defined() ? at::addmm(bias, x, weight.t()) : at::mm(x, weight.t());
}

Tensor Norm::normalize(const Tensor& x) const {
  const Tensor centred = kind == NormKind::kLayer ? x - x.mean(-1, true) : x;
  return centred * at::rsqrt(centred.pow(2).mean(-1, true) + epsilon);
}

Tensor Norm::scale(const Tensor& normalized) const {
  const Tensor scaled = normalized * gain;
  return bias.defined() ? scaled + bias : scaled;
}

Tensor WeightReader::to_compute(const Tensor& values, const StoredTensor& stored) const {
  Tensor result = values.to(device_, at::kFloat);
  check_finite(result, stored);
  return result;
}

Tensor WeightReader::read_rows(const StoredTensor& stored, int64_t start, int64_t count) const {
  // To a GPU go the bytes that are stored, which are fewer; what is computed may be so as a whole;
  // what is wider is not copied.
  const bool by_block =
      device_.is_cpu() && stored.file->file() != nullptr && dtype_bits(stored.info->dtype) == 16;
  if (!by_block) return to_compute(load_rows(stored, start, count), stored);
  const int64_t step = std::max<int64_t>(1, static_cast<int64_t>(kBlockBytes / row_bytes(stored)));
  Tensor result = at::empty({count, stored.info->shape.back()}, at::kFloat);
  for (int64_t row = 0; row < count; row += step) {
    const int64_t rows = std::min(step, count - row);
    const Tensor block = load_rows(stored, start + row, rows);
    if (holds_non_finite(stored.info->dtype, tensor_bytes(block))) check_finite(block, stored);
    result.narrow(0, row, rows).copy_(block);
  }
  return result;
}

Tensor WeightReader::kept(const std::string& key, const std::function<Tensor()>& read) const {
  if (kept_ == nullptr) return read();
  Tensor& tensor = kept_->tensors[key];
  if (!tensor.defined()) tensor = read();
  return tensor;
}

Tensor WeightReader::tensor(const std::string& name) const {
  return kept(name, [&] {
    const StoredTensor stored = checkpoint_.find(name);
    SAGESAN_ASSERT(stored);
    if (stored.info->shape.size() < 2) return to_compute(load(stored), stored);
    return read_rows(stored, 0, row_count(stored)).view(stored.info->shape);
  });
}

Tensor WeightReader::rows(const std::string& name, int64_t start, int64_t count) const {
  return kept(fmt::format("{}[{}:{}]", name, start, start + count), [&] {
    const StoredTensor stored = checkpoint_.find(name);
    SAGESAN_ASSERT(stored);
    return read_rows(stored, start, count);
  });
}

Linear WeightReader::slice(const std::string& name, int64_t index) const {
  const StoredTensor stored = checkpoint_.find(name);
  SAGESAN_ASSERT(stored && stored.info->shape.size() == 3);
  const int64_t count = stored.info->shape[1];
  return {rows(name, index * count, count), Tensor()};
}

Linear WeightReader::linear(const std::string& pattern, int64_t layer, bool bias,
                            int64_t expert) const {
  if (pattern.empty()) return {};
  const std::string name = name_in_layer(pattern, layer, expert);
  const Tensor weight = tensor(name + ".weight");
  return {model_.transposed ? weight.t() : weight, bias ? tensor(name + ".bias") : Tensor()};
}

Norm WeightReader::norm(const std::string& pattern, int64_t layer) const {
  if (pattern.empty()) return {};
  const std::string name = name_in_layer(pattern, layer);
  const Tensor gain = tensor(name + ".weight");
  return {.kind = model_.norm,
          .epsilon = model_.norm_epsilon,
          .gain = model_.norm == NormKind::kRmsPlusOne ? gain + 1 : gain,
          .bias = model_.norm == NormKind::kLayer ? tensor(name + ".bias") : Tensor()};
}

void activate(Activation activation, Tensor& x) {
  switch (activation) {
    case Activation::kSilu:
      at::silu_(x);
      return;
    case Activation::kGelu:
      at::gelu_(x);
      return;
    case Activation::kGeluTanh:
      at::gelu_(x, "tanh");
      return;
    case Activation::kRelu:
      at::relu_(x);
      return;
  }
  SAGESAN_ASSERT(false);
}

}  // namespace sagesan
