#include "sagesan/support/tensor.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <numeric>

#include "sagesan/support/error.h"

namespace sagesan {

at::ScalarType scalar_type(DType dtype) {
  switch (dtype) {
    case DType::kF16:
      return at::kHalf;
    case DType::kBF16:
      return at::kBFloat16;
    case DType::kF32:
      return at::kFloat;
    case DType::kF64:
      return at::kDouble;
    default:
      SAGESAN_ASSERT(is_computable(dtype));
      return at::kFloat;
  }
}

namespace {

/// An uninitialized tensor for `stored`'s rows and a view of its bytes.
std::pair<Tensor, std::span<std::byte>> allocate(const StoredTensor& stored,
                                                 const std::vector<int64_t>& shape) {
  if (!is_computable(stored.info->dtype)) {
    throw InputError(stored.where(),
                     fmt::format("dtype {}: only F16, BF16, F32 and F64 can be computed with",
                                 dtype_name(stored.info->dtype)));
  }
  Tensor tensor = at::empty(shape, at::TensorOptions().dtype(scalar_type(stored.info->dtype)));
  return {tensor, std::span(static_cast<std::byte*>(tensor.data_ptr()), tensor.nbytes())};
}

}  // namespace

DType dtype_of(const Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kHalf:
      return DType::kF16;
    case at::kBFloat16:
      return DType::kBF16;
    case at::kFloat:
      return DType::kF32;
    case at::kDouble:
      return DType::kF64;
    default:
      SAGESAN_ASSERT(tensor.scalar_type() == at::kLong);
      return DType::kI64;
  }
}

int64_t row_count(const StoredTensor& stored) {
  const std::vector<int64_t>& shape = stored.info->shape;
  SAGESAN_ASSERT(shape.size() >= 2);
  return std::accumulate(shape.begin(), shape.end() - 1, int64_t{1}, std::multiplies<>());
}

uint64_t row_bytes(const StoredTensor& stored) {
  const int64_t rows = row_count(stored);
  SAGESAN_ASSERT(rows > 0);
  return stored.info->bytes / static_cast<uint64_t>(rows);
}

Tensor load(const StoredTensor& stored) {
  auto [tensor, bytes] = allocate(stored, stored.info->shape);
  stored.read(0, bytes);
  return tensor;
}

Tensor load_rows(const StoredTensor& stored, int64_t start, int64_t count) {
  const uint64_t row = row_bytes(stored);
  auto [tensor, bytes] = allocate(stored, {count, stored.info->shape.back()});
  stored.read(static_cast<uint64_t>(start) * row, bytes);
  return tensor;
}

Tensor gather_rows(const StoredTensor& stored, const std::vector<int64_t>& ids) {
  const uint64_t row = row_bytes(stored);
  auto [tensor, bytes] =
      allocate(stored, {static_cast<int64_t>(ids.size()), stored.info->shape.back()});
  // Each row is read once, in the order of the file.
  std::vector<size_t> order(ids.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return std::pair(ids[a], a) < std::pair(ids[b], b); });
  for (size_t i = 0; i < order.size(); ++i) {
    const auto target = bytes.subspan(order[i] * row, row);
    if (i > 0 && ids[order[i]] == ids[order[i - 1]]) {
      const auto same = bytes.subspan(order[i - 1] * row, row);
      std::copy(same.begin(), same.end(), target.begin());
    } else {
      stored.read(static_cast<uint64_t>(ids[order[i]]) * row, target);
    }
  }
  return tensor;
}

std::span<const std::byte> tensor_bytes(const Tensor& tensor) {
  SAGESAN_ASSERT(tensor.is_contiguous() && tensor.device().is_cpu());
  return {static_cast<const std::byte*>(tensor.data_ptr()), tensor.nbytes()};
}

bool all_finite(const Tensor& tensor) { return at::isfinite(tensor).all().item<bool>(); }

void check_finite(const Tensor& values, const StoredTensor& stored) {
  if (all_finite(values)) return;
  throw InputError(stored.where(), "holds NaN or infinity: the weights are not finite");
}

double squared_norm(const Tensor& tensor) {
  const Tensor wide = tensor.to(at::kDouble).reshape({-1});
  return wide.dot(wide).item<double>();
}

}  // namespace sagesan
