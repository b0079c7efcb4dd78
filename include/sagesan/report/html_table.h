#pragma once

#include <optional>
#include <string>
#include <vector>

namespace sagesan {

/// What a column holds: it decides how its cells are set.
enum class Column { kText, kNumber, kLongText, kIdentifier };

/// A table; cells are plain text.
class HtmlTable {
 public:
  explicit HtmlTable(std::vector<std::pair<std::string, Column>> columns);
  /// As many cells as columns.
  void row(const std::vector<std::string>& cells);
  bool empty() const { return rows_.empty(); }
  /// Empty where there is no row.
  std::string html() const;

 private:
  std::vector<std::pair<std::string, Column>> columns_;
  std::string rows_;
};

/// "0.00213", "1.2e-06"; an en dash where there is none.
std::string short_number(const std::optional<double>& value);
/// "85.2 %"; the same dash.
std::string share_text(const std::optional<double>& share);

}  // namespace sagesan
