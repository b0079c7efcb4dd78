#include "sagesan/report/frontier.h"

#include <fmt/format.h>

#include <algorithm>

#include "sagesan/report/chart.h"
#include "sagesan/report/html_page.h"
#include "sagesan/report/html_table.h"

namespace sagesan {
namespace {

Chart frontier_chart(std::vector<FrontierPoint> points) {
  std::stable_sort(points.begin(), points.end(),
                   [](const auto& a, const auto& b) { return a.strength < b.strength; });
  Chart chart{.title = "Forgetting against retention: best at the lower right",
              .x_label = "loss on forget texts (nats per token)",
              .y_label = "loss on retain texts (nats per token)",
              .log_y = true};
  for (const FrontierPoint& point : points) {
    auto series = std::find_if(chart.series.begin(), chart.series.end(),
                               [&](const ChartSeries& each) { return each.name == point.series; });
    if (series == chart.series.end()) {
      chart.series.push_back({.name = point.series, .points = {}});
      series = chart.series.end() - 1;
    }
    series->points.push_back({point.name, point.forget_loss, point.retain_loss});
  }
  return chart;
}

}  // namespace

std::string frontier_section(const std::vector<FrontierPoint>& points, const std::string& best,
                             const std::string& text) {
  HtmlTable table({{"candidate", Column::kText},
                   {"forget loss", Column::kNumber},
                   {"retain loss", Column::kNumber},
                   {"forgetting kept", Column::kNumber},
                   {"damage taken out", Column::kNumber}});
  for (const FrontierPoint& point : points) {
    table.row({point.name + (point.name == best ? " (best)" : ""), short_number(point.forget_loss),
               short_number(point.retain_loss), share_text(point.kept_forgetting),
               share_text(point.recovered)});
  }
  return html_section("Forgetting and retention", text,
                      chart_html(frontier_chart(points)) + table.html());
}

}  // namespace sagesan
