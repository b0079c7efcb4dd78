#include "sagesan/report/heat_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "sagesan/report/html_table.h"
#include "sagesan/report/markup.h"

namespace sagesan {
namespace {

constexpr int kHeatColors = 9;

/// Short enough for a dozen columns on a phone: "2.1e-4".
std::string cell_text(double value) {
  if (value == 0 || (value >= 1e-2 && value < 1000)) return fmt::format("{:.2g}", value);
  std::string text = fmt::format("{:.1e}", value);  // "2.1e-04"
  const size_t exponent = text.find('e') + 1;
  if (exponent == 0) return text;
  return fmt::format("{}{}", text.substr(0, exponent), std::stoi(text.substr(exponent)));
}

/// A column's heading, with the whole name where there is no room for it.
std::string heading(const std::string& name) {
  constexpr size_t kMostBytes = 20;
  if (name.size() <= kMostBytes)
    return fmt::format("<th scope=\"col\">{}</th>", escape_markup(name));
  size_t length = kMostBytes;
  while (length > 0 && (static_cast<unsigned char>(name[length]) & 0xC0) == 0x80) --length;
  return fmt::format("<th scope=\"col\" title=\"{}\">{}…</th>", escape_markup(name),
                     escape_markup(name.substr(0, length)));
}

}  // namespace

HeatRange heat_range(const std::vector<const HeatMap*>& maps) {
  HeatRange range;
  for (const HeatMap* map : maps) {
    for (const auto& [place, value] : map->values) {
      if (!(value > 0) || !std::isfinite(value)) continue;
      range.least = range.least > 0 ? std::min(range.least, value) : value;
      range.most = std::max(range.most, value);
    }
  }
  return range;
}

int heat_class(double value, const HeatRange& range) {
  if (!(value > 0) || !(range.most > range.least)) return 0;
  const double share = std::log(value / range.least) / std::log(range.most / range.least);
  return std::clamp(static_cast<int>(share * kHeatColors), 0, kHeatColors - 1);
}

std::string heat_map_html(const HeatMap& map, const HeatRange& range) {
  if (map.values.empty()) return "";
  std::string head = fmt::format("<th scope=\"col\">{}</th>", escape_markup(map.corner));
  for (const std::string& column : map.columns) head += heading(column);
  std::string body;
  for (size_t row = 0; row < map.rows.size(); ++row) {
    fmt::format_to(std::back_inserter(body), "<tr><th scope=\"row\">{}</th>",
                   escape_markup(map.rows[row]));
    for (size_t column = 0; column < map.columns.size(); ++column) {
      const auto found = map.values.find({row, column});
      if (found == map.values.end()) {
        body += "<td>–</td>";
      } else {
        fmt::format_to(std::back_inserter(body), "<td class=\"h{}\">{}</td>",
                       heat_class(found->second, range), cell_text(found->second));
      }
    }
    body += "</tr>\n";
  }
  return fmt::format(
      "<figure><figcaption>{}</figcaption>\n<div class=\"scroll\"><table class=\"heat\">\n"
      "<thead><tr>{}</tr></thead>\n<tbody>\n{}</tbody></table></div></figure>\n",
      escape_markup(map.title), head, body);
}

}  // namespace sagesan
