#include "bias_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <iostream>

#include "sagesan/support/error.h"

namespace sagesan::cli {
namespace {

/// Prints lines of a label and a number or a dash for each model.
class Table {
 public:
  Table(const std::string& title, size_t label_width, const std::vector<std::string>& models)
      : label_width_(std::max(label_width, title.size())) {
    std::cout << fmt::format("{:<{}}", title, label_width_);
    for (const std::string& model : models) {
      constexpr size_t kLeast = 10;
      const std::string name = printable(model);
      widths_.push_back(std::max(kLeast, name.size()));
      std::cout << fmt::format("  {:>{}}", name, widths_.back());
    }
    std::cout << "\n";
  }

  template <typename Value>
  void row(const std::string& label, const Value& value) const {
    std::cout << fmt::format("{:<{}}", label, label_width_);
    for (size_t i = 0; i < widths_.size(); ++i) {
      const std::optional<double> number = value(i);
      std::cout << fmt::format("  {:>{}}", number ? fmt::format("{:.4g}", *number) : "-",
                               widths_[i]);
    }
    std::cout << "\n";
  }

 private:
  size_t label_width_;
  std::vector<size_t> widths_;
};

void print_named(const std::string& title, const std::vector<BiasRow>& rows,
                 const std::vector<std::string>& models) {
  size_t width = 0;
  for (const BiasRow& row : rows) width = std::max(width, printable(row.name).size());
  const Table table(title, width, models);
  for (const BiasRow& row : rows)
    table.row(printable(row.name), [&](size_t i) { return row.bias(i); });
}

}  // namespace

void print_bias_tables(const InspectResult& result, bool verbose) {
  for (const MomentsBias& moments : result.moments) {
    std::cout << fmt::format("\nactivation bias on {} ({} tokens), linear modules\n",
                             printable(moments.name), moments.tokens);
    const Table layers("layer", 0, result.models);
    for (const BiasRow& row : moments.layers)
      layers.row(std::to_string(*row.layer), [&](size_t i) { return row.bias(i); });
    layers.row("mean", [&](size_t i) { return moments.linear_mean(i); });
    if (!verbose) continue;
    print_named("site", moments.sites, result.models);
    print_named("tensor", moments.tensors, result.models);
  }
}

}  // namespace sagesan::cli
