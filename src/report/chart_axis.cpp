#include "chart_axis.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace sagesan {
namespace {

constexpr int kTicks = 5;

/// The round number (1, 2 or 5 times a power of ten) next above `step`.
double round_step(double step) {
  const double power = std::pow(10, std::floor(std::log10(step)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (step <= factor * power * (1 + 1e-9)) return factor * power;
  }
  return 10 * power;
}

}  // namespace

ChartAxis::ChartAxis(const std::vector<double>& values, bool log, double from, double to)
    : log_(log), from_(from), to_(to) {
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  least_ = scaled(*least);
  most_ = scaled(*most);
  // Halves are taken first: the difference of two large numbers may be no number.
  double room = (most_ / 2 - least_ / 2) * 0.1;
  if (!(room > 0)) room = std::max(std::abs(least_) * 0.05, log_ ? 0.3 : 1e-12);
  least_ -= room;
  most_ += room;
}

double ChartAxis::scaled(double value) const { return log_ ? std::log10(value) : value; }

double ChartAxis::position(double value) const {
  const double share = (scaled(value) / 2 - least_ / 2) / (most_ / 2 - least_ / 2);
  return from_ + share * (to_ - from_);
}

std::vector<double> ChartAxis::ticks() const {
  std::vector<double> result;
  if (log_ && most_ - least_ >= 1) {
    // Whole powers of ten, some left out where there are many.
    const int step = std::max(1, static_cast<int>(std::ceil((most_ - least_) / kTicks)));
    for (int power = static_cast<int>(std::ceil(least_)); power <= most_; power += step)
      result.push_back(std::pow(10, power));
    if (result.size() > 1) return result;
    result.clear();
  }
  const double least = log_ ? std::pow(10, least_) : least_;
  const double most = log_ ? std::pow(10, most_) : most_;
  const double step = round_step((most / 2 - least / 2) / kTicks * 2);
  const double first = std::ceil(least / step);
  for (int i = 0; i < 2 * kTicks && (first + i) * step <= most; ++i) {
    const double value = (first + i) * step;
    if (!log_ || value > 0) result.push_back(value);
  }
  if (result.empty()) result.push_back(least);
  return result;
}

std::string tick_text(double value) {
  // What rounding leaves of zero.
  return fmt::format("{:.6g}", std::abs(value) < 1e-300 ? 0 : value);
}

}  // namespace sagesan
