#pragma once

#include <array>
#include <cstdint>

#include "sagesan/support/dtype.h"

namespace sagesan {

/// An 8-bit float of safetensors and libtorch, whose older versions have none: F8_E4M3 (libtorch's
/// float8_e4m3fn), F8_E5M2 and their FNUZ counterparts. After "OCP 8-bit Floating Point
/// Specification" 1.0, section 5, and for FNUZ (no infinity, no negative zero; NaN is 0x80)
/// arXiv:2206.02915.
class Float8 {
 public:
  /// `is_float8(dtype)`.
  static const Float8& of(DType dtype);

  /// Exact; NaN and infinity where the code says so.
  float decode(uint8_t code) const { return values_[code]; }
  /// The nearest value, between two the one with an even code. What rounds to more than the largest
  /// value becomes infinite or, where the format has no infinity, NaN, as libtorch has it.
  uint8_t encode(double value) const;

 private:
  Float8(int mantissa_bits, int bias, bool has_infinity, bool fnuz);

  std::array<float, 256> values_{};
  uint8_t largest_ = 0;  ///< code of the largest finite value
  double above_ = 0;     ///< what would come after it
  uint8_t nan_ = 0;
  bool fnuz_ = false;
};

}  // namespace sagesan
