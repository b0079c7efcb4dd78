#include "sagesan/sanitize/damping_curve.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace sagesan {

double DampingCurve::kept(double strength) const {
  double all = 0;
  double left = 0;
  for (const auto& [penalty, amount] : amounts_) {
    all += amount;
    const double divisor = penalty > 0 ? 1 + strength * penalty : 1;
    left += amount / divisor / divisor;
  }
  return all > 0 ? left / all : 1;
}

double strength_for(std::span<const DampingCurve> curves, double share) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const auto reached = [&](double strength) {
    return std::all_of(curves.begin(), curves.end(),
                       [&](const DampingCurve& curve) { return curve.kept(strength) <= share; });
  };
  if (reached(0)) return 0;
  // The kept share falls monotonically; penalties lie around 1, so these bounds hold every root
  // that is no limit.
  double low = -30;
  double high = 30;  // decimal logarithms
  if (!reached(std::pow(10.0, high))) return kInfinity;
  for (int i = 0; i < 100 && high - low > 1e-14; ++i) {
    const double middle = (low + high) / 2;
    (reached(std::pow(10.0, middle)) ? high : low) = middle;
  }
  return std::pow(10.0, high);
}

}  // namespace sagesan
