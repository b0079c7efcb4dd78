#include "sagesan/support/float8.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "sagesan/support/error.h"

namespace sagesan {
namespace {

constexpr uint8_t kSign = 0x80;

/// The value of a code without sign if every code were a number.
double magnitude(int code, int mantissa_bits, int bias) {
  const int exponent = code >> mantissa_bits;
  const int mantissa = code & ((1 << mantissa_bits) - 1);
  if (exponent == 0) return std::ldexp(mantissa, 1 - bias - mantissa_bits);
  return std::ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits);
}

}  // namespace

Float8::Float8(int mantissa_bits, int bias, bool has_infinity, bool fnuz) : fnuz_(fnuz) {
  const int infinity = 0x7F - ((1 << mantissa_bits) - 1);
  const int first_special = fnuz ? 0x80 : has_infinity ? infinity : 0x7F;
  largest_ = static_cast<uint8_t>(first_special - 1);
  above_ = magnitude(first_special, mantissa_bits, bias);
  nan_ = fnuz ? kSign : 0x7F;
  for (int code = 0; code < kSign; ++code) {
    double value = std::numeric_limits<double>::quiet_NaN();
    if (code < first_special) value = magnitude(code, mantissa_bits, bias);
    if (has_infinity && code == infinity) value = std::numeric_limits<double>::infinity();
    values_[static_cast<size_t>(code)] = static_cast<float>(value);
    values_[static_cast<size_t>(code) + kSign] = static_cast<float>(-value);
  }
  if (fnuz) values_[kSign] = std::numeric_limits<float>::quiet_NaN();
}

const Float8& Float8::of(DType dtype) {
  static const Float8 e4m3(3, 7, false, false);
  static const Float8 e5m2(2, 15, true, false);
  static const Float8 e4m3_fnuz(3, 8, false, true);
  static const Float8 e5m2_fnuz(2, 16, false, true);
  switch (dtype) {
    case DType::kF8E4M3:
      return e4m3;
    case DType::kF8E5M2:
      return e5m2;
    case DType::kF8E4M3Fnuz:
      return e4m3_fnuz;
    default:
      SAGESAN_ASSERT(dtype == DType::kF8E5M2Fnuz);
      return e5m2_fnuz;
  }
}

uint8_t Float8::encode(double value) const {
  if (std::isnan(value)) return nan_;
  const double size = std::abs(value);
  // Codes without sign ascend with their values.
  const auto first = values_.begin();
  const auto next = std::upper_bound(first, first + largest_ + 1, size);
  auto code = static_cast<int>(next - first) - 1;
  const double lower = values_[static_cast<size_t>(code)];
  const double upper = code == largest_ ? above_ : values_[static_cast<size_t>(code) + 1];
  if (size - lower > upper - size || (size - lower == upper - size && code % 2 == 1)) ++code;
  if (code > largest_ && fnuz_) return nan_;
  if (code == 0 && fnuz_) return 0;
  return static_cast<uint8_t>(code | (std::signbit(value) ? kSign : 0));
}

}  // namespace sagesan
