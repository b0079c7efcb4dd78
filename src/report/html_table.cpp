#include "sagesan/report/html_table.h"

#include <fmt/format.h>

#include <cmath>
#include <iterator>

#include "sagesan/report/markup.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

std::string_view class_of(Column column) {
  switch (column) {
    case Column::kText:
      return "";
    case Column::kNumber:
      return " class=\"n\"";
    case Column::kLongText:
      return " class=\"w\"";
    case Column::kIdentifier:
      return " class=\"id\"";
  }
  SAGESAN_ASSERT(false);
  return "";
}

}  // namespace

HtmlTable::HtmlTable(std::vector<std::pair<std::string, Column>> columns)
    : columns_(std::move(columns)) {}

void HtmlTable::row(const std::vector<std::string>& cells) {
  SAGESAN_ASSERT(cells.size() == columns_.size());
  rows_ += "<tr>";
  for (size_t i = 0; i < cells.size(); ++i) {
    fmt::format_to(std::back_inserter(rows_), "<td{}>{}</td>", class_of(columns_[i].second),
                   escape_markup(cells[i]));
  }
  rows_ += "</tr>\n";
}

std::string HtmlTable::html() const {
  if (rows_.empty()) return "";
  std::string head;
  for (const auto& [name, column] : columns_) {
    fmt::format_to(std::back_inserter(head), "<th scope=\"col\"{}>{}</th>",
                   column == Column::kNumber ? " class=\"n\"" : "", escape_markup(name));
  }
  return fmt::format(
      "<div "
      "class=\"scroll\"><table>\n<thead><tr>{}</tr></thead>\n<tbody>\n{}</tbody></table></div>\n",
      head, rows_);
}

std::string short_number(const std::optional<double>& value) {
  if (!value) return "–";
  // Counts stay counts: 1847, not 1.85e+03.
  const double size = std::abs(*value);
  const bool whole = *value == std::floor(*value);
  return size < 1e9 && (whole || size >= 1000) ? fmt::format("{:.0f}", *value)
                                               : fmt::format("{:.3g}", *value);
}

std::string share_text(const std::optional<double>& share) {
  return share ? fmt::format("{:.1f} %", *share * 100) : "–";
}

}  // namespace sagesan
