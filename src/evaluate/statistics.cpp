#include "sagesan/evaluate/statistics.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>

#include "sagesan/support/error.h"

namespace sagesan {
namespace {

/// The largest |F1 - F2| times the least common multiple of the sizes, with steps `a` and `b` of
/// the two functions in that unit.
int64_t largest_distance(const std::vector<double>& first, const std::vector<double>& second,
                         int64_t a, int64_t b) {
  int64_t largest = 0;
  size_t i = 0;
  size_t j = 0;
  while (i < first.size() && j < second.size()) {
    const double at = std::min(first[i], second[j]);
    while (i < first.size() && first[i] == at) ++i;
    while (j < second.size() && second[j] == at) ++j;
    const int64_t distance = static_cast<int64_t>(i) * a - static_cast<int64_t>(j) * b;
    largest = std::max(largest, std::abs(distance));
  }
  return largest;
}

}  // namespace

double kolmogorov_smirnov_p_value(std::vector<double> first, std::vector<double> second) {
  SAGESAN_ASSERT(!first.empty() && !second.empty());
  std::sort(first.begin(), first.end());
  std::sort(second.begin(), second.end());
  const auto n = static_cast<int64_t>(first.size());
  const auto m = static_cast<int64_t>(second.size());
  const int64_t common = std::gcd(n, m);
  const int64_t a = m / common;
  const int64_t b = n / common;
  const int64_t limit = largest_distance(first, second, a, b);
  if (limit == 0) return 1;
  // Under the hypothesis every order of the n and m values is as likely: a path from (0, 0) to
  // (n, m). outside[j] is the probability that a path to (i, j) has been as far apart; its last
  // step came from (i - 1, j) with probability i / (i + j). Sums of positive numbers: small
  // p-values are as precise as large ones.
  std::vector<double> outside(static_cast<size_t>(m) + 1, 0);
  for (int64_t i = 0; i <= n; ++i) {
    for (int64_t j = 0; j <= m; ++j) {
      double& here = outside[static_cast<size_t>(j)];
      if (std::abs(i * a - j * b) >= limit) {
        here = 1;
      } else if (i + j > 0) {
        const double from_left = j > 0 ? outside[static_cast<size_t>(j) - 1] : 0;
        here = (static_cast<double>(i) * (i > 0 ? here : 0) + static_cast<double>(j) * from_left) /
               static_cast<double>(i + j);
      }
    }
  }
  return std::min(outside.back(), 1.0);
}

double roc_auc(const std::vector<double>& positives, const std::vector<double>& negatives) {
  SAGESAN_ASSERT(!positives.empty() && !negatives.empty());
  std::vector<double> sorted = negatives;
  std::sort(sorted.begin(), sorted.end());
  double wins = 0;
  for (const double score : positives) {
    const auto [low, high] = std::equal_range(sorted.begin(), sorted.end(), score);
    wins += static_cast<double>(low - sorted.begin()) + 0.5 * static_cast<double>(high - low);
  }
  return wins / (static_cast<double>(positives.size()) * static_cast<double>(negatives.size()));
}

double harmonic_mean(const std::vector<double>& values) {
  SAGESAN_ASSERT(!values.empty());
  double sum = 0;
  for (const double value : values) {
    SAGESAN_ASSERT(value >= 0);
    if (value == 0) return 0;
    sum += 1 / value;
  }
  return static_cast<double>(values.size()) / sum;
}

}  // namespace sagesan
