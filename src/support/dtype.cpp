#include "sagesan/support/dtype.h"

#include <algorithm>
#include <cstring>

#include "sagesan/support/error.h"

namespace sagesan {
namespace {

struct Row {
  DType dtype;
  std::string_view name;
  int bits;
};

constexpr Row kRows[] = {
    {DType::kBool, "BOOL", 8},
    {DType::kF4, "F4", 4},
    {DType::kF6E2M3, "F6_E2M3", 6},
    {DType::kF6E3M2, "F6_E3M2", 6},
    {DType::kU8, "U8", 8},
    {DType::kI8, "I8", 8},
    {DType::kF8E5M2, "F8_E5M2", 8},
    {DType::kF8E4M3, "F8_E4M3", 8},
    {DType::kF8E8M0, "F8_E8M0", 8},
    {DType::kF8E4M3Fnuz, "F8_E4M3FNUZ", 8},
    {DType::kF8E5M2Fnuz, "F8_E5M2FNUZ", 8},
    {DType::kI16, "I16", 16},
    {DType::kU16, "U16", 16},
    {DType::kF16, "F16", 16},
    {DType::kBF16, "BF16", 16},
    {DType::kI32, "I32", 32},
    {DType::kU32, "U32", 32},
    {DType::kF32, "F32", 32},
    {DType::kC64, "C64", 64},
    {DType::kF64, "F64", 64},
    {DType::kI64, "I64", 64},
    {DType::kU64, "U64", 64},
};

const Row& row_of(DType dtype) {
  const Row& row = kRows[static_cast<int>(dtype)];
  SAGESAN_ASSERT(row.dtype == dtype);
  return row;
}

/// Whether an element has all bits of `mask`: NaN and the infinities have the whole exponent set.
/// Without a branch in a block, so that the compiler makes vectors.
template <typename Bits>
bool any_with(std::span<const std::byte> elements, Bits mask) {
  const size_t count = elements.size() / sizeof(Bits);
  constexpr size_t kBlock = 4096 / sizeof(Bits);
  for (size_t start = 0; start < count; start += kBlock) {
    Bits found = 0;
    const size_t end = std::min(count, start + kBlock);
    for (size_t i = start; i < end; ++i) {
      Bits bits;
      std::memcpy(&bits, elements.data() + i * sizeof bits, sizeof bits);
      found |= static_cast<Bits>((bits & mask) == mask);
    }
    if (found != 0) return true;
  }
  return false;
}

}  // namespace

bool holds_non_finite(DType dtype, std::span<const std::byte> elements) {
  switch (dtype) {
    case DType::kF64:
      return any_with<uint64_t>(elements, 0x7FF0'0000'0000'0000);
    case DType::kF32:
    case DType::kC64:
      return any_with<uint32_t>(elements, 0x7F80'0000);
    case DType::kF16:
      return any_with<uint16_t>(elements, 0x7C00);
    case DType::kBF16:
      return any_with<uint16_t>(elements, 0x7F80);
    case DType::kF8E5M2:
      return any_with<uint8_t>(elements, 0x7C);
    case DType::kF8E4M3:
      return any_with<uint8_t>(elements, 0x7F);  // NaN; there is no infinity
    case DType::kF8E8M0:
      return any_with<uint8_t>(elements, 0xFF);
    case DType::kF8E4M3Fnuz:
    case DType::kF8E5M2Fnuz:  // what would be a negative zero
      return std::find(elements.begin(), elements.end(), std::byte{0x80}) != elements.end();
    default:
      return false;
  }
}

std::string_view dtype_name(DType dtype) { return row_of(dtype).name; }

std::optional<DType> parse_dtype(std::string_view name) {
  for (const Row& row : kRows) {
    if (row.name == name) return row.dtype;
  }
  return std::nullopt;
}

int dtype_bits(DType dtype) { return row_of(dtype).bits; }

bool is_float8(DType dtype) {
  return dtype == DType::kF8E4M3 || dtype == DType::kF8E5M2 || dtype == DType::kF8E4M3Fnuz ||
         dtype == DType::kF8E5M2Fnuz;
}

bool is_computable(DType dtype) {
  return dtype == DType::kF16 || dtype == DType::kBF16 || dtype == DType::kF32 ||
         dtype == DType::kF64 || is_float8(dtype);
}

}  // namespace sagesan
