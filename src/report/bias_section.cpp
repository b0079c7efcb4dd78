#include <algorithm>
#include <set>

#include "report_sections.h"
#include "sagesan/report/heat_map.h"
#include "sagesan/report/html_page.h"
#include "sagesan/report/html_table.h"
#include "tensor_place.h"

namespace sagesan {
namespace {

struct Cell {
  int64_t layer;
  std::string module;
  const TensorReport* tensor;
};

HeatMap map_of(const std::vector<Cell>& cells, const std::vector<int64_t>& layers,
               const std::vector<std::string>& modules,
               const std::optional<double> TensorReport::*bias) {
  HeatMap map{.corner = "layer", .columns = short_names(modules)};
  for (const int64_t layer : layers) map.rows.push_back(std::to_string(layer));
  for (const Cell& cell : cells) {
    const std::optional<double>& value = cell.tensor->*bias;
    if (!value) continue;
    const auto row = std::lower_bound(layers.begin(), layers.end(), cell.layer) - layers.begin();
    const auto column = std::find(modules.begin(), modules.end(), cell.module) - modules.begin();
    double& worst = map.values[{static_cast<size_t>(row), static_cast<size_t>(column)}];
    worst = std::max(worst, *value);
  }
  return map;
}

}  // namespace

std::string bias_section(const SanitizeReport& report) {
  std::vector<Cell> cells;
  std::vector<std::string> modules;
  std::set<int64_t> layers;
  HtmlTable outside({{"outside the layers", Column::kLongText},
                     {"kind", Column::kText},
                     {"before", Column::kNumber},
                     {"after", Column::kNumber}});
  for (const TensorReport& tensor : report.tensors) {
    if (!tensor.bias_before && !tensor.bias_after) continue;
    const TensorPlace place = tensor_place(tensor.name);
    if (!place.layer) {
      outside.row({tensor.name, tensor.kind, short_number(tensor.bias_before),
                   short_number(tensor.bias_after)});
    } else if (tensor.kind == "linear") {
      cells.push_back({*place.layer, place.module, &tensor});
      layers.insert(*place.layer);
      if (std::find(modules.begin(), modules.end(), place.module) == modules.end())
        modules.push_back(place.module);
    }
  }
  const std::vector<int64_t> rows(layers.begin(), layers.end());
  HeatMap before = map_of(cells, rows, modules, &TensorReport::bias_before);
  HeatMap after = map_of(cells, rows, modules, &TensorReport::bias_after);
  before.title = "before: the unlearned model";
  after.title = "after: the sanitized model";
  const HeatRange range = heat_range({&before, &after});
  return html_section(
      "Retention activation bias",
      "How far the update moves what a linear module computes on the retain texts, relative to "
      "what it computes: trace(D S D^T) / trace(W0 S W0^T). Darker is worse (in the dark: "
      "brighter), one logarithmic scale for both; of several experts, the worst.",
      html_grid(heat_map_html(before, range) + heat_map_html(after, range)) + outside.html());
}

}  // namespace sagesan
