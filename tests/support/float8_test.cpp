#include "sagesan/support/float8.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace sagesan {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The specification's own table (OCP OFP8 1.0, tables 1 and 2).
TEST(Float8, HasTheSpecificationsValues) {
  const Float8& e4m3 = Float8::of(DType::kF8E4M3);
  EXPECT_EQ(e4m3.decode(0x7E), 448);
  EXPECT_EQ(e4m3.decode(0x08), std::ldexp(1, -6));
  EXPECT_EQ(e4m3.decode(0x07), std::ldexp(0.875, -6));
  EXPECT_EQ(e4m3.decode(0x01), std::ldexp(1, -9));
  EXPECT_TRUE(std::isnan(e4m3.decode(0x7F)) && std::isnan(e4m3.decode(0xFF)));
  EXPECT_TRUE(e4m3.decode(0x80) == 0 && std::signbit(e4m3.decode(0x80)));
  const Float8& e5m2 = Float8::of(DType::kF8E5M2);
  EXPECT_EQ(e5m2.decode(0x7B), 57344);
  EXPECT_EQ(e5m2.decode(0x04), std::ldexp(1, -14));
  EXPECT_EQ(e5m2.decode(0x03), std::ldexp(0.75, -14));
  EXPECT_EQ(e5m2.decode(0x01), std::ldexp(1, -16));
  EXPECT_EQ(e5m2.decode(0xFC), -kInfinity);
  EXPECT_TRUE(std::isnan(e5m2.decode(0x7D)));
}

TEST(Float8, FnuzHasOneZeroAndOneNan) {
  for (const DType dtype : {DType::kF8E4M3Fnuz, DType::kF8E5M2Fnuz}) {
    const Float8& format = Float8::of(dtype);
    EXPECT_TRUE(std::isnan(format.decode(0x80)));
    EXPECT_TRUE(std::isfinite(format.decode(0x7F)));
    EXPECT_EQ(format.encode(-0.0), 0);
    EXPECT_EQ(format.encode(-1e-30), 0);
    EXPECT_EQ(format.encode(std::nan("")), 0x80);
    EXPECT_EQ(format.encode(-kInfinity), 0x80);
  }
  EXPECT_EQ(Float8::of(DType::kF8E4M3Fnuz).decode(0x7F), 240);
  EXPECT_EQ(Float8::of(DType::kF8E5M2Fnuz).decode(0x7F), 57344);
  EXPECT_EQ(Float8::of(DType::kF8E4M3Fnuz).decode(0x01), std::ldexp(1, -10));
}

TEST(Float8, EveryValueComesBackAndBetweenTwoTheNearestIsTaken) {
  for (const DType dtype :
       {DType::kF8E4M3, DType::kF8E5M2, DType::kF8E4M3Fnuz, DType::kF8E5M2Fnuz}) {
    const Float8& format = Float8::of(dtype);
    int finite = 0;
    for (int code = 0; code < 256; ++code) {
      const double value = format.decode(static_cast<uint8_t>(code));
      if (std::isnan(value)) continue;
      EXPECT_EQ(format.encode(value), code) << dtype_name(dtype);
      const double next = format.decode(static_cast<uint8_t>(code + 1));
      if (!std::isfinite(value) || code % 128 == 127 || !std::isfinite(next)) continue;
      ++finite;
      const double middle = (value + next) / 2;
      EXPECT_EQ(format.encode(middle), code % 2 == 0 ? code : code + 1) << dtype_name(dtype);
      EXPECT_EQ(format.encode(std::nextafter(middle, value)), code) << dtype_name(dtype);
      EXPECT_EQ(format.encode(std::nextafter(middle, next)), code + 1) << dtype_name(dtype);
    }
    EXPECT_GT(finite, 240) << dtype_name(dtype);
  }
}

TEST(Float8, WhatIsTooLargeIsNoNumber) {
  const Float8& e4m3 = Float8::of(DType::kF8E4M3);
  EXPECT_EQ(e4m3.encode(464), 0x7E);  // halfway to what would come next
  EXPECT_EQ(e4m3.encode(464.001), 0x7F);
  EXPECT_EQ(e4m3.encode(-kInfinity), 0xFF);
  const Float8& e5m2 = Float8::of(DType::kF8E5M2);
  EXPECT_EQ(e5m2.encode(61439), 0x7B);
  EXPECT_EQ(e5m2.encode(61440), 0x7C);
  EXPECT_EQ(e5m2.encode(-1e300), 0xFC);
}

}  // namespace
}  // namespace sagesan
