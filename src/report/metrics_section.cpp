#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "report_sections.h"
#include "sagesan/report/figures.h"
#include "sagesan/report/html_page.h"
#include "sagesan/report/html_table.h"
#include "sagesan/support/error.h"

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

/// Of lines and models together.
constexpr size_t kMostCells = 1'000'000;

}  // namespace

std::string metrics_section(const Json& evaluation, const std::string& where) {
  std::vector<Line> lines;
  std::map<std::pair<std::string, std::string>, size_t> places;  // data, key -> in `lines`
  std::vector<std::string> models;
  std::set<std::string> known_models;
  for (const ReportFigure& figure : evaluate_figures(evaluation, where).figures) {
    if (known_models.insert(figure.model).second) models.push_back(figure.model);
    const auto [place, fresh] = places.try_emplace({figure.data, figure.key}, lines.size());
    if (fresh) lines.push_back({figure.data, figure.key, figure.better, {}});
    lines[place->second].by_model[figure.model] = figure.value;
  }
  if (lines.size() * models.size() > kMostCells) {
    throw InputError(where, fmt::format("{} figures of {} models: a table of more than {} cells",
                                        lines.size(), models.size(), kMostCells));
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
