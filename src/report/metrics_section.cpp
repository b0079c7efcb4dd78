#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "report_sections.h"
#include "sagesan/report/figures.h"
#include "sagesan/report/html_page.h"
#include "sagesan/report/html_table.h"

namespace sagesan {
namespace {

std::string_view arrow(Better better) {
  return better == Better::kLower ? " ↓" : better == Better::kHigher ? " ↑" : "";
}

/// One line: a figure of one data set.
struct Line {
  std::string data, key;
  Better better;
  std::map<std::string, double> by_model;
};

}  // namespace

std::string metrics_section(const Json& evaluation, const std::string& where) {
  std::vector<Line> lines;
  std::vector<std::string> models;
  for (const ReportFigure& figure : evaluate_figures(evaluation, where).figures) {
    if (std::find(models.begin(), models.end(), figure.model) == models.end())
      models.push_back(figure.model);
    auto line = std::find_if(lines.begin(), lines.end(), [&](const Line& each) {
      return each.data == figure.data && each.key == figure.key;
    });
    if (line == lines.end())
      line = lines.insert(lines.end(), {figure.data, figure.key, figure.better, {}});
    line->by_model[figure.model] = figure.value;
  }
  std::vector<std::pair<std::string, Column>> columns = {{"data", Column::kText},
                                                         {"figure", Column::kLongText}};
  for (const std::string& model : models)
    columns.emplace_back(model.empty() ? "value" : model, Column::kNumber);
  HtmlTable table(columns);
  for (const Line& line : lines) {
    std::vector<std::string> cells = {line.data.empty() ? "all" : line.data,
                                      fmt::format("{}{}", line.key, arrow(line.better))};
    for (const std::string& model : models) {
      const auto value = line.by_model.find(model);
      cells.push_back(
          short_number(value == line.by_model.end() ? std::nullopt : std::optional(value->second)));
    }
    table.row(cells);
  }
  return html_section("Evaluation",
                      "↑: higher is better; ↓: lower is better; of data that was to be forgotten, "
                      "where it is forgotten.",
                      table.html());
}

}  // namespace sagesan
