#pragma once

#include <string>
#include <vector>

namespace sagesan {

struct ChartPoint {
  std::string name;  ///< "strength 3"; shown where the chart names its points and there is room
  double x = 0, y = 0;
};

struct ChartSeries {
  std::string name;
  std::vector<ChartPoint> points;  ///< joined in this order where `line`
  bool line = true;
};

/// Points in a plane: a frontier, or figures by layer. What is not finite, or not above 0 on a
/// logarithmic axis, is left out of the drawing and stays in the table.
struct Chart {
  std::string title, x_label, y_label;
  bool log_x = false, log_y = false;
  bool name_points = false;
  std::vector<ChartSeries> series;
};

/// A `<figure>` with inline SVG, a legend and, folded away, the numbers as a table. Empty where
/// nothing can be drawn.
std::string chart_html(const Chart& chart);

}  // namespace sagesan
