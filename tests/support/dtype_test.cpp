#include "sagesan/support/dtype.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "sagesan/support/float8.h"

namespace sagesan {
namespace {

/// Whether `holds_non_finite` says so of the number alone, and as the last of many zeros.
template <typename Bits>
bool is_non_finite(DType dtype, Bits bits) {
  std::vector<Bits> values(10'000, 0);
  values.back() = bits;
  const bool among_others = holds_non_finite(dtype, std::as_bytes(std::span(values)));
  EXPECT_EQ(holds_non_finite(dtype, std::as_bytes(std::span(&bits, 1))), among_others);
  return among_others;
}

float half(int code) {
  const int exponent = code >> 10 & 0x1F;
  const auto fraction = static_cast<float>(code & 0x3FF);
  if (exponent == 0x1F) return fraction == 0 ? INFINITY : NAN;
  return exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
}

TEST(NonFinite, EveryCodeOfEightBits) {
  for (const DType dtype :
       {DType::kF8E4M3, DType::kF8E5M2, DType::kF8E4M3Fnuz, DType::kF8E5M2Fnuz}) {
    for (int code = 0; code < 256; ++code) {
      const auto bits = static_cast<uint8_t>(code);
      EXPECT_EQ(is_non_finite(dtype, bits), !std::isfinite(Float8::of(dtype).decode(bits)))
          << dtype_name(dtype) << " " << code;
    }
  }
  EXPECT_TRUE(is_non_finite<uint8_t>(DType::kF8E8M0, 0xFF));
  EXPECT_FALSE(is_non_finite<uint8_t>(DType::kF8E8M0, 0xFE));
}

TEST(NonFinite, EveryFewCodesOfSixteenBits) {
  for (int code = 0; code < 65536; code += 31) {
    const auto bits = static_cast<uint16_t>(code);
    EXPECT_EQ(is_non_finite(DType::kF16, bits), !std::isfinite(half(code))) << code;
    EXPECT_EQ(is_non_finite(DType::kBF16, bits),
              !std::isfinite(std::bit_cast<float>(static_cast<uint32_t>(code) << 16)))
        << code;
  }
}

TEST(NonFinite, EdgesOfWiderTypes) {
  using Wide = std::numeric_limits<double>;
  using Single = std::numeric_limits<float>;
  for (const double value : {0.0, -0.0, Wide::max(), Wide::lowest(), Wide::denorm_min()})
    EXPECT_FALSE(is_non_finite(DType::kF64, std::bit_cast<uint64_t>(value)));
  for (const double value : {Wide::infinity(), -Wide::infinity(), Wide::quiet_NaN()})
    EXPECT_TRUE(is_non_finite(DType::kF64, std::bit_cast<uint64_t>(value)));
  for (const DType dtype : {DType::kF32, DType::kC64}) {
    for (const float value : {0.0F, Single::max(), Single::lowest(), Single::denorm_min()})
      EXPECT_FALSE(is_non_finite(dtype, std::bit_cast<uint32_t>(value)));
    for (const float value : {Single::infinity(), -Single::infinity(), Single::signaling_NaN()})
      EXPECT_TRUE(is_non_finite(dtype, std::bit_cast<uint32_t>(value)));
  }
  for (const DType dtype : {DType::kI32, DType::kU32, DType::kBool, DType::kF4})
    EXPECT_FALSE(is_non_finite(dtype, ~uint32_t{0}));
}

}  // namespace
}  // namespace sagesan
