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

double survives(const std::vector<double>& w0, const std::vector<double>& d, size_t group,
                double most) {
  std::vector<double> w = w0;
  for (size_t i = 0; i < w.size(); ++i) w[i] += d[i];
  const std::vector<double> after = rounded(w, group, most);
  const std::vector<double> before = rounded(w0, group, most);
  double sum = 0;
  for (size_t i = 0; i < w.size(); ++i) sum += (after[i] - before[i]) * d[i];
  return sum;
}

TEST(SurvivalSums, AgreesWithRoundingWrittenOut) {
  // Rows of one and a half groups of 64, one all zero at first.
  constexpr int64_t kColumns = 96;
  SurvivalSums sums;
  double squared = 0;
  double stored = 0;
  double int8 = 0;
  double int4 = 0;
  for (int row = 0; row < 3; ++row) {
    std::vector<double> w0;
    std::vector<double> d;
    for (int64_t i = 0; i < kColumns; ++i) {
      w0.push_back(row == 2 ? 0 : std::sin(0.37 * static_cast<double>(i * (row + 1)) + row));
      d.push_back(0.02 * std::cos(1.7 * static_cast<double>(i) + row));
      w0.back() = static_cast<float>(w0.back());
      d.back() = static_cast<float>(d.back());
      squared += d.back() * d.back();
    }
    int8 += survives(w0, d, kColumns, 127);
    int4 += survives(w0, d, 64, 7);
    const auto tensor = [](const std::vector<double>& values) {
      return at::tensor(values, at::kDouble).view({1, kColumns});
    };
    const Tensor base = tensor(w0).to(at::kFloat);
    const Tensor update = tensor(d).to(at::kFloat);
    const Tensor result = (tensor(w0) + tensor(d)).to(at::kBFloat16);
    const Tensor change = result.to(at::kDouble) - base.to(at::kBFloat16).to(at::kDouble);
    stored += (change * tensor(d)).sum().item<double>();
    sums.add(base, update, result);
  }
  EXPECT_NEAR(sums.squared_norm, squared, 1e-6 * squared);
  EXPECT_NEAR(sums.stored, stored, 1e-9);
  EXPECT_NEAR(sums.int8, int8, 1e-3 * squared);
  EXPECT_NEAR(sums.int4, int4, 1e-3 * squared);
  EXPECT_GT(int8, 0.8 * squared);
  EXPECT_NE(int4, int8);
}

TEST(SurvivalSums, NothingIsLostWhereNothingIsRounded) {
  const Tensor base = at::arange(8, at::kDouble).view({2, 4});
  const Tensor update = at::ones({2, 4}, at::kDouble) * 0.25;
  SurvivalSums sums;
  sums.add(base, update, base + update);
  EXPECT_DOUBLE_EQ(sums.stored, sums.squared_norm);
}

}  // namespace
}  // namespace sagesan
