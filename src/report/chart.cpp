#include "sagesan/report/chart.h"

#include <fmt/format.h>

#include <cmath>
#include <iterator>

#include "chart_axis.h"
#include "sagesan/report/html_page.h"
#include "sagesan/report/html_table.h"
#include "sagesan/report/markup.h"

namespace sagesan {
namespace {

// In units of the drawing, which is as wide as a phone: texts stay legible there.
constexpr double kWidth = 420, kHeight = 270;
constexpr double kLeft = 54, kRight = 12, kTop = 10, kBottom = 44;
constexpr size_t kColors = 6;

bool is_shown(const Chart& chart, const ChartPoint& point) {
  return std::isfinite(point.x) && std::isfinite(point.y) && (!chart.log_x || point.x > 0) &&
         (!chart.log_y || point.y > 0);
}

/// A marker of its own for each series, so that color is not all that tells them apart.
std::string marker(size_t series, double x, double y) {
  const double r = 3.4;
  const std::string color = fmt::format("m{}", series % kColors);
  switch (series % 4) {
    case 0:
      return fmt::format("<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\"/>", color, x, y,
                         r);
    case 1:
      return fmt::format(
          "<rect class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"6.2\" height=\"6.2\"/>", color,
          x - 3.1, y - 3.1);
    case 2:
      return fmt::format("<path class=\"{}\" d=\"M{:.1f} {:.1f}l4 7h-8z\"/>", color, x, y - 4.4);
    default:
      return fmt::format("<path class=\"{}\" d=\"M{:.1f} {:.1f}l4.2 4.2-4.2 4.2-4.2-4.2z\"/>",
                         color, x, y - 4.2);
  }
}

/// Writes points' names where none is in the way.
class Names {
 public:
  std::string place(const std::string& name, double x, double y) {
    const double width = 6.2 * static_cast<double>(name.size());
    const bool left = x + 6 + width > kWidth - kRight;
    const Box box = {left ? x - 6 - width : x + 6, y - 12, width, 13};
    for (const Box& other : taken_) {
      if (box.x < other.x + other.width && other.x < box.x + box.width &&
          box.y < other.y + other.height && other.y < box.y + box.height)
        return "";
    }
    taken_.push_back(box);
    return fmt::format("<text class=\"name\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", box.x, y - 2,
                       escape_markup(name));
  }

 private:
  struct Box {
    double x, y, width, height;
  };
  std::vector<Box> taken_;
};

/// Both axes with their ticks and labels.
std::string frame(const Chart& chart, const ChartAxis& x, const ChartAxis& y) {
  std::string svg;
  const auto add = std::back_inserter(svg);
  const double bottom = kHeight - kBottom;
  for (const double tick : y.ticks()) {
    const double place = y.position(tick);
    fmt::format_to(add,
                   "<path class=\"tick\" d=\"M{} {:.1f}H{}\"/><text x=\"{}\" y=\"{:.1f}\" "
                   "text-anchor=\"end\">{}</text>\n",
                   kLeft, place, kWidth - kRight, kLeft - 5, place + 4, tick_text(tick));
  }
  for (const double tick : x.ticks()) {
    const double place = x.position(tick);
    fmt::format_to(add,
                   "<path class=\"axis\" d=\"M{:.1f} {}v4\"/><text x=\"{:.1f}\" y=\"{}\" "
                   "text-anchor=\"middle\">{}</text>\n",
                   place, bottom, place, bottom + 17, tick_text(tick));
  }
  fmt::format_to(add, "<path class=\"axis\" d=\"M{} {}V{}H{}\"/>\n", kLeft, kTop, bottom,
                 kWidth - kRight);
  fmt::format_to(add, "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
                 (kLeft + kWidth - kRight) / 2, kHeight - 8, escape_markup(chart.x_label));
  return svg;
}

std::string draw_series(const Chart& chart, size_t index, const ChartAxis& x, const ChartAxis& y,
                        Names& names) {
  const ChartSeries& series = chart.series[index];
  std::string line;
  std::string markers;
  for (const ChartPoint& point : series.points) {
    if (!is_shown(chart, point)) continue;
    const double at_x = x.position(point.x);
    const double at_y = y.position(point.y);
    fmt::format_to(std::back_inserter(line), "{}{:.1f} {:.1f}", line.empty() ? "M" : "L", at_x,
                   at_y);
    const std::string title =
        fmt::format("{}{}{}: {:.4g}, {:.4g}", series.name, point.name.empty() ? "" : ", ",
                    point.name, point.x, point.y);
    fmt::format_to(std::back_inserter(markers), "<g>{}<title>{}</title></g>\n",
                   marker(index, at_x, at_y), escape_markup(title));
    if (chart.name_points && !point.name.empty()) markers += names.place(point.name, at_x, at_y);
  }
  if (!series.line || line.empty()) return markers;
  return fmt::format("<path class=\"series s{}\" d=\"{}\"/>\n{}", index % kColors, line, markers);
}

std::string legend(const Chart& chart) {
  if (chart.series.size() < 2) return "";
  std::string items;
  for (size_t i = 0; i < chart.series.size(); ++i) {
    fmt::format_to(std::back_inserter(items),
                   "<li><svg viewBox=\"0 0 14 14\" aria-hidden=\"true\">{}</svg>{}</li>\n",
                   marker(i, 7, 7), escape_markup(chart.series[i].name));
  }
  return fmt::format("<ul class=\"legend\">\n{}</ul>\n", items);
}

std::string numbers(const Chart& chart) {
  HtmlTable table({{"series", Column::kText},
                   {"point", Column::kText},
                   {chart.x_label, Column::kNumber},
                   {chart.y_label, Column::kNumber}});
  for (const ChartSeries& series : chart.series) {
    for (const ChartPoint& point : series.points)
      table.row({series.name, point.name, short_number(point.x), short_number(point.y)});
  }
  return html_details("the numbers", table.html());
}

}  // namespace

std::string chart_html(const Chart& chart) {
  std::vector<double> xs;
  std::vector<double> ys;
  for (const ChartSeries& series : chart.series) {
    for (const ChartPoint& point : series.points) {
      if (!is_shown(chart, point)) continue;
      xs.push_back(point.x);
      ys.push_back(point.y);
    }
  }
  if (xs.empty()) return "";
  const ChartAxis x(xs, chart.log_x, kLeft, kWidth - kRight);
  const ChartAxis y(ys, chart.log_y, kHeight - kBottom, kTop);
  std::string svg = frame(chart, x, y);
  Names names;
  for (size_t i = 0; i < chart.series.size(); ++i) svg += draw_series(chart, i, x, y, names);
  return fmt::format(
      "<figure><figcaption>{0}</figcaption>\n<div class=\"soft\">{1}</div>\n"
      "<svg class=\"chart\" viewBox=\"0 0 {2} {3}\" role=\"img\" aria-label=\"{0}\">\n{4}</svg>\n"
      "{5}{6}</figure>\n",
      escape_markup(chart.title), escape_markup(chart.y_label), kWidth, kHeight, svg, legend(chart),
      numbers(chart));
}

}  // namespace sagesan
