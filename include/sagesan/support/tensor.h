#pragma once

// The one way into libtorch: ATen alone, precompiled. clang needs ivalue.h first; the operators
// come from their own small headers because ATen/Functions.h costs seconds in every file.
// clang-format off
#include <ATen/core/ivalue.h>
// clang-format on
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/aminmax.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/linalg_eigh.h>
#include <ATen/ops/logaddexp.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/sqrt.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <cstddef>
#include <span>
#include <vector>

#include "sagesan/checkpoint/checkpoint.h"
#include "sagesan/support/dtype.h"

namespace sagesan {

using at::Tensor;

/// The type in which values of a computable `dtype` are held: its own; float32 for 8-bit floats.
at::ScalarType scalar_type(DType dtype);
/// The inverse, and int64.
DType dtype_of(const Tensor& tensor);

// Stored bytes as a CPU tensor: of `scalar_type(dtype)`, but uint8 for 8-bit floats.

/// Uninitialized, for the bytes to be read into.
Tensor stored_bytes(const std::vector<int64_t>& shape, DType dtype);
/// The values that bytes stand for, in `scalar_type(dtype)`.
Tensor decode(const Tensor& stored, DType dtype);
/// `values` of any floating-point type, rounded to the nearest of `dtype`.
Tensor encode(const Tensor& values, DType dtype);
/// `values` rounded to the nearest of `dtype`, in `scalar_type(dtype)`, on their device.
Tensor round_to(const Tensor& values, DType dtype);

// What is loaded is on the CPU in `scalar_type` of its dtype, which must be computable
// (`InputError`).

/// A whole stored tensor.
Tensor load(const StoredTensor& stored);

// A tensor of more than two dimensions counts as the matrix `[all but the last, last]`.

int64_t row_count(const StoredTensor& stored);
uint64_t row_bytes(const StoredTensor& stored);

/// Rows [start, start + count) of a stored matrix.
Tensor load_rows(const StoredTensor& stored, int64_t start, int64_t count);

/// The rows `ids` (int64, any order) of a stored matrix `[rows, columns]`, as `[ids, columns]`.
Tensor gather_rows(const StoredTensor& stored, const std::vector<int64_t>& ids);

/// The raw bytes of a contiguous CPU tensor, valid as long as it.
std::span<const std::byte> tensor_bytes(const Tensor& tensor);
std::span<std::byte> writable_bytes(Tensor& tensor);

/// Whether every element is finite.
bool all_finite(const Tensor& tensor);

/// Throws `InputError` naming the stored tensor where `values`, read from it, are not all finite.
void check_finite(const Tensor& values, const StoredTensor& stored);

/// Sum of the products of elements, in float64; both of one shape.
double dot(const Tensor& a, const Tensor& b);
/// Sum of squares in float64.
double squared_norm(const Tensor& tensor);

}  // namespace sagesan
