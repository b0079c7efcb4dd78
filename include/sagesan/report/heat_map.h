#pragma once

#include <map>
#include <string>
#include <vector>

namespace sagesan {

/// Numbers by row and column, colored on a logarithmic scale: a table that is its own figure.
struct HeatMap {
  std::string title, corner;  ///< what the rows are: "layer"
  std::vector<std::string> rows, columns;
  std::map<std::pair<size_t, size_t>, double> values;  ///< by row and column; some may be missing
};

/// The range of colors that several maps share.
struct HeatRange {
  double least = 0, most = 0;  ///< positive, finite; 0 where there is no such value
};
HeatRange heat_range(const std::vector<const HeatMap*>& maps);

/// 0 to 8, of 9 colors; 0 for what is not above 0.
int heat_class(double value, const HeatRange& range);

/// A `<figure>`; empty where the map has no values.
std::string heat_map_html(const HeatMap& map, const HeatRange& range);

}  // namespace sagesan
