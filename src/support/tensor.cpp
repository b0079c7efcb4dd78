#include "sagesan/support/tensor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "sagesan/support/error.h"
#include "sagesan/support/float8.h"
#include "sagesan/support/stage_clock.h"

namespace sagesan {

at::ScalarType scalar_type(DType dtype) {
  SAGESAN_ASSERT(is_computable(dtype));
  switch (dtype) {
    case DType::kF16:
      return at::kHalf;
    case DType::kBF16:
      return at::kBFloat16;
    case DType::kF64:
      return at::kDouble;
    default:
      return at::kFloat;
  }
}

Tensor stored_bytes(const std::vector<int64_t>& shape, DType dtype) {
  return at::empty(shape, is_float8(dtype) ? at::kByte : scalar_type(dtype));
}

Tensor decode(const Tensor& stored, DType dtype) {
  if (!is_float8(dtype)) return stored;
  const Float8& format = Float8::of(dtype);
  Tensor values = at::empty(stored.sizes(), at::kFloat);
  const auto* codes = stored.data_ptr<uint8_t>();
  auto* target = values.data_ptr<float>();
  std::transform(codes, codes + stored.numel(), target,
                 [&](uint8_t code) { return format.decode(code); });
  return values;
}

Tensor encode(const Tensor& values, DType dtype) {
  if (!is_float8(dtype)) return values.to(scalar_type(dtype)).cpu().contiguous();
  const Float8& format = Float8::of(dtype);
  const Tensor wide = values.to(at::kDouble).cpu().contiguous();
  Tensor stored = stored_bytes(wide.sizes().vec(), dtype);
  const auto* numbers = wide.data_ptr<double>();
  std::transform(numbers, numbers + wide.numel(), stored.data_ptr<uint8_t>(),
                 [&](double value) { return format.encode(value); });
  return stored;
}

Tensor round_to(const Tensor& values, DType dtype) {
  if (!is_float8(dtype)) return values.to(scalar_type(dtype));
  return decode(encode(values, dtype), dtype).to(values.device());
}

namespace {

/// Room for the bytes of `stored`, or of rows of it. Throws where they are no numbers.
Tensor allocate(const StoredTensor& stored, const std::vector<int64_t>& shape) {
  if (!is_computable(stored.info->dtype)) {
    throw InputError(stored.where(),
                     fmt::format("dtype {}: only F8, F16, BF16, F32 and F64 can be computed with",
                                 dtype_name(stored.info->dtype)));
  }
  return stored_bytes(shape, stored.info->dtype);
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
  const StageClock clock("read", stored.info->bytes);
  Tensor tensor = allocate(stored, stored.info->shape);
  stored.read(0, writable_bytes(tensor));
  return decode(tensor, stored.info->dtype);
}

Tensor load_rows(const StoredTensor& stored, int64_t start, int64_t count) {
  const uint64_t row = row_bytes(stored);
  const StageClock clock("read", static_cast<uint64_t>(count) * row);
  Tensor tensor = allocate(stored, {count, stored.info->shape.back()});
  stored.read(static_cast<uint64_t>(start) * row, writable_bytes(tensor));
  return decode(tensor, stored.info->dtype);
}

Tensor gather_rows(const StoredTensor& stored, const std::vector<int64_t>& ids) {
  const uint64_t row = row_bytes(stored);
  const StageClock clock("read", ids.size() * row);
  Tensor tensor = allocate(stored, {static_cast<int64_t>(ids.size()), stored.info->shape.back()});
  const std::span<std::byte> bytes = writable_bytes(tensor);
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
  return decode(tensor, stored.info->dtype);
}

std::span<std::byte> writable_bytes(Tensor& tensor) {
  SAGESAN_ASSERT(tensor.is_contiguous() && tensor.device().is_cpu());
  return {static_cast<std::byte*>(tensor.data_ptr()), tensor.nbytes()};
}

std::span<const std::byte> tensor_bytes(const Tensor& tensor) {
  SAGESAN_ASSERT(tensor.is_contiguous() && tensor.device().is_cpu());
  return {static_cast<const std::byte*>(tensor.data_ptr()), tensor.nbytes()};
}

bool all_finite(const Tensor& tensor) {
  if (tensor.numel() == 0) return true;
  // Both are NaN where one number is: one pass, where `isfinite` takes four. Not for F16 in 1.13.
  const auto [least, most] =
      at::aminmax(tensor.scalar_type() == at::kHalf ? tensor.to(at::kFloat) : tensor);
  return std::isfinite(least.item<double>()) && std::isfinite(most.item<double>());
}

void check_finite(const Tensor& values, const StoredTensor& stored) {
  if (all_finite(values)) return;
  throw InputError(stored.where(), "holds NaN or infinity: the weights are not finite");
}

namespace {

/// Compiled for what the processor has; the order of the sums is the same everywhere.
[[gnu::target_clones("avx512f", "avx2", "default")]] double sum_of_products(const float* a,
                                                                            const float* b,
                                                                            int64_t count) {
  constexpr int64_t kLanes = 16;
  double sums[kLanes] = {};
  const int64_t whole = count / kLanes * kLanes;
  for (int64_t i = 0; i < whole; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane)
      sums[lane] += static_cast<double>(a[i + lane]) * static_cast<double>(b[i + lane]);
  }
  for (int64_t i = whole; i < count; ++i)
    sums[i - whole] += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return std::accumulate(std::begin(sums), std::end(sums), 0.0);
}

}  // namespace

double dot(const Tensor& a, const Tensor& b) {
  SAGESAN_ASSERT(a.sizes() == b.sizes());
  const bool plain = a.device().is_cpu() && a.scalar_type() == at::kFloat &&
                     b.scalar_type() == at::kFloat && a.is_contiguous() && b.is_contiguous();
  if (plain) return sum_of_products(a.data_ptr<float>(), b.data_ptr<float>(), a.numel());
  return a.to(at::kDouble).reshape({-1}).dot(b.to(at::kDouble).reshape({-1})).item<double>();
}

double squared_norm(const Tensor& tensor) { return dot(tensor, tensor); }

}  // namespace sagesan
