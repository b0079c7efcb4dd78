#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace sagesan {

/// Element types of the safetensors format (huggingface/safetensors, `Dtype`), independent of
/// libtorch, whose older versions lack half of them.
enum class DType {
  kBool,
  kF4,
  kF6E2M3,
  kF6E3M2,
  kU8,
  kI8,
  kF8E5M2,
  kF8E4M3,
  kF8E8M0,
  kF8E4M3Fnuz,
  kF8E5M2Fnuz,
  kI16,
  kU16,
  kF16,
  kBF16,
  kI32,
  kU32,
  kF32,
  kC64,
  kF64,
  kI64,
  kU64,
};

/// The name in a safetensors header: "BF16".
std::string_view dtype_name(DType dtype);
std::optional<DType> parse_dtype(std::string_view name);
/// Size of one element in bits; 4 and 6 for the packed types.
int dtype_bits(DType dtype);
/// F8_E4M3, F8_E5M2 and their FNUZ counterparts; not E8M0, in which scales are stored.
bool is_float8(DType dtype);
/// Whether sagesan computes with it: F16, BF16, F32, F64 and `is_float8`. Others are copied.
bool is_computable(DType dtype);
/// Whether whole elements, little-endian, hold NaN or an infinity; false for types that have none
/// and for those packed into less than a byte.
bool holds_non_finite(DType dtype, std::span<const std::byte> elements);

}  // namespace sagesan
