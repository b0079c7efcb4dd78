#pragma once

#include <string>
#include <vector>

namespace sagesan {

/// One axis of a chart: from values to positions.
class ChartAxis {
 public:
  /// `values` are those to be shown, at least one; where `log`, all of them are above 0. Position
  /// `from` is that of the least, `to` of the largest, both with some room besides.
  ChartAxis(const std::vector<double>& values, bool log, double from, double to);

  double position(double value) const;
  /// Round values to be written at the axis, at least one.
  std::vector<double> ticks() const;

 private:
  double scaled(double value) const;

  bool log_;
  double from_, to_;
  double least_, most_;  ///< scaled
};

std::string tick_text(double value);

}  // namespace sagesan
