#include "sagesan/sanitize/survival.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace sagesan {
namespace {

/// Round to the nearest with one scale a group, written out (ties to even, as everywhere).
std::vector<double> rounded(const std::vector<double>& values, size_t group, double most) {
  std::vector<double> result;
  for (size_t start = 0; start < values.size(); start += group) {
    double largest = 0;
    const size_t end = std::min(start + group, values.size());
    for (size_t i = start; i < end; ++i) largest = std::max(largest, std::abs(values[i]));
    const double scale = largest / most;
    for (size_t i = start; i < end; ++i)
      result.push_back(scale > 0 ? std::nearbyint(values[i] / scale) * scale : 0);
  }
  return result;
}

/// What rounding leaves of an update, summed over rows: its product with the update and its square.
struct Left {
  double along = 0, squared = 0;
  void add(const std::vector<double>& after, const std::vector<double>& before,
           const std::vector<double>& d) {
    for (size_t i = 0; i < d.size(); ++i) {
      along += (after[i] - before[i]) * d[i];
      squared += (after[i] - before[i]) * (after[i] - before[i]);
    }
  }
};

std::vector<double> to_bfloat16(const std::vector<double>& values) {
  const Tensor rounded = at::tensor(values, at::kDouble).to(at::kBFloat16).to(at::kDouble);
  return {rounded.data_ptr<double>(), rounded.data_ptr<double>() + rounded.numel()};
}

TEST(SurvivalSums, AgreesWithRoundingWrittenOut) {
  // Rows of one and a half groups of 64, one all zero at first.
  constexpr int64_t kColumns = 96;
  SurvivalSums sums;
  double squared = 0;
  Left stored;
  Left int8;
  Left int4;
  for (int row = 0; row < 3; ++row) {
    std::vector<double> w0;
    std::vector<double> d;
    std::vector<double> w;
    for (int64_t i = 0; i < kColumns; ++i) {
      w0.push_back(static_cast<float>(
          row == 2 ? 0 : std::sin(0.37 * static_cast<double>(i * (row + 1)) + row)));
      d.push_back(static_cast<float>(0.02 * std::cos(1.7 * static_cast<double>(i) + row)));
      w.push_back(w0.back() + d.back());
      squared += d.back() * d.back();
    }
    stored.add(to_bfloat16(w), to_bfloat16(w0), d);
    int8.add(rounded(w, kColumns, 127), rounded(w0, kColumns, 127), d);
    int4.add(rounded(w, 64, 7), rounded(w0, 64, 7), d);
    const auto tensor = [](const std::vector<double>& values) {
      return at::tensor(values, at::kDouble).view({1, kColumns});
    };
    sums.add(tensor(w0).to(at::kFloat), tensor(d).to(at::kFloat),
             tensor(to_bfloat16(w)) - tensor(to_bfloat16(w0)));
  }
  const auto cosine = [&](const Left& left) {
    return left.along / std::sqrt(left.squared * squared);
  };
  EXPECT_NEAR(sums.stored(), cosine(stored), 1e-6);
  EXPECT_NEAR(sums.int8(), cosine(int8), 1e-3);
  EXPECT_NEAR(sums.int4(), cosine(int4), 1e-3);
  // The coarser, the less is left.
  EXPECT_GT(sums.stored(), sums.int8());
  EXPECT_GT(sums.int8(), sums.int4() + 0.1);
  EXPECT_LT(sums.stored(), 1);
}

TEST(SurvivalSums, NothingIsLostWhereNothingIsRounded) {
  const Tensor base = at::arange(8, at::kDouble).view({2, 4});
  const Tensor update = at::ones({2, 4}, at::kDouble) * 0.25;
  SurvivalSums sums;
  sums.add(base, update, update);
  EXPECT_DOUBLE_EQ(sums.stored(), 1);
  EXPECT_FALSE(sums.empty());
}

TEST(SurvivalSums, NothingIsLeftWhereRoundingUndoesAll) {
  const Tensor base = at::ones({2, 4}, at::kFloat) * 100;
  const Tensor update = at::ones({2, 4}, at::kFloat) * 0.01;
  SurvivalSums sums;
  EXPECT_TRUE(sums.empty());
  sums.add(base, update, at::zeros({2, 4}, at::kFloat));
  EXPECT_EQ(sums.stored(), 0);
}

}  // namespace
}  // namespace sagesan
