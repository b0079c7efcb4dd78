#include <algorithm>
#include <cmath>
#include <map>

#include "report_sections.h"
#include "sagesan/report/chart.h"
#include "sagesan/report/html_page.h"
#include "tensor_place.h"

namespace sagesan {
namespace {

using ByLayer = std::map<int64_t, double>;

ChartSeries series_of(const std::string& name, const ByLayer& values) {
  ChartSeries series{.name = name};
  for (const auto& [layer, value] : values)
    series.points.push_back({.x = static_cast<double>(layer), .y = value});
  return series;
}

std::string norm_chart(const SanitizeReport& report) {
  ByLayer before;
  ByLayer after;
  for (const TensorReport& tensor : report.tensors) {
    const TensorPlace place = tensor_place(tensor.name);
    if (!place.layer) continue;
    before[*place.layer] += tensor.norm_before * tensor.norm_before;
    after[*place.layer] += tensor.norm_after * tensor.norm_after;
  }
  for (ByLayer* sums : {&before, &after}) {
    for (auto& [layer, sum] : *sums) sum = std::sqrt(sum);
  }
  return chart_html({.title = "Norm of the update by layer",
                     .x_label = "layer",
                     .y_label = "Frobenius norm of all of the layer's updates",
                     .series = {series_of("before", before), series_of("after", after)}});
}

std::string survival_chart(const SanitizeReport& report) {
  ByLayer stored;
  ByLayer int8;
  ByLayer int4;
  const auto lower = [](ByLayer& values, int64_t layer, double value) {
    const auto [found, fresh] = values.try_emplace(layer, value);
    if (!fresh) found->second = std::min(found->second, value);
  };
  for (const TensorReport& tensor : report.tensors) {
    const TensorPlace place = tensor_place(tensor.name);
    if (!place.layer || !tensor.survival) continue;
    lower(stored, *place.layer, tensor.survival->stored);
    lower(int8, *place.layer, tensor.survival->int8);
    lower(int4, *place.layer, tensor.survival->int4);
  }
  return chart_html({.title = "What survives rounding, by layer",
                     .x_label = "layer",
                     .y_label = "cosine of the update and what is left of it, worst linear module",
                     .series = {series_of("stored dtype", stored), series_of("8 bits", int8),
                                series_of("4 bits", int4)}});
}

}  // namespace

std::string update_section(const SanitizeReport& report) {
  return html_section("The update",
                      "What is left of it carries the forgetting; rounding can undo it.",
                      html_grid(norm_chart(report) + survival_chart(report)));
}

}  // namespace sagesan
