#include <gtest/gtest.h>

#include <limits>

#include "sagesan/support/tensor.h"

namespace sagesan {
namespace {

TEST(AllFinite, FindsOneBadNumberAnywhereInAnyDtype) {
  // Long enough for vector units and for two threads, and not a multiple of their widths.
  constexpr int64_t kCount = 70003;
  const double infinity = std::numeric_limits<double>::infinity();
  for (const at::ScalarType dtype : {at::kHalf, at::kBFloat16, at::kFloat, at::kDouble}) {
    const Tensor good = at::arange(kCount, at::kDouble).fmod(101).sub(50).to(dtype);
    EXPECT_TRUE(all_finite(good)) << dtype;
    for (const double bad : {std::numeric_limits<double>::quiet_NaN(), infinity, -infinity}) {
      for (const int64_t place : {int64_t{0}, int64_t{7}, kCount / 2, kCount - 4, kCount - 1}) {
        const Tensor values = good.clone();
        values[place] = bad;
        EXPECT_FALSE(all_finite(values)) << dtype << ' ' << bad << " at " << place;
        EXPECT_FALSE(all_finite(values.slice(0, place))) << dtype << ' ' << bad;
      }
    }
  }
}

TEST(AllFinite, TakesTheLargestNumbersAndNothingAtAll) {
  EXPECT_TRUE(all_finite(at::full({9}, std::numeric_limits<double>::max(), at::kDouble)));
  EXPECT_TRUE(all_finite(at::full({9}, std::numeric_limits<float>::lowest(), at::kFloat)));
  EXPECT_TRUE(all_finite(at::empty({0, 3}, at::kFloat)));
}

TEST(AllFinite, LooksAtStridedViews) {
  const Tensor matrix = at::zeros({40, 30});
  matrix[3][4] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(all_finite(matrix.t()));
  EXPECT_TRUE(all_finite(matrix.narrow(1, 5, 20)));
}

}  // namespace
}  // namespace sagesan
