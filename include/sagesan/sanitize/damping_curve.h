#pragma once

#include <map>
#include <span>

namespace sagesan {

/// How the retention activation bias of one tensor falls with the strength s, in closed form:
/// bias(s) = sum_j amount_j / (1 + s * penalty_j)^2. For a linear module the penalties are the
/// relative energies h_i with the amounts l_i |D u_i|^2, and what lies outside the subspace has
/// penalty 0.
class DampingCurve {
 public:
  /// `penalty` and `amount` at least 0.
  void add(double penalty, double amount) { amounts_[penalty] += amount; }
  /// bias(strength) / bias(0), 1 where there is no bias at all; `strength` may be infinite.
  double kept(double strength) const;

 private:
  std::map<double, double> amounts_;  ///< by penalty
};

/// The least strength at which every curve keeps at most `share`, found by bisection; 0 where all
/// keep no more without any. Infinity where one of them never comes down to it.
double strength_for(std::span<const DampingCurve> curves, double share);

}  // namespace sagesan
