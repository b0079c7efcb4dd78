#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "report_sections.h"
#include "sagesan/report/html_page.h"
#include "sagesan/report/html_table.h"

namespace sagesan {
namespace {

std::string option_text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return value.dump();
  std::string text;
  for (const Json& item : value) text += (text.empty() ? "" : ", ") + option_text(item);
  return text;
}

std::string options_table(const ReportOptions& options) {
  HtmlTable table({{"option", Column::kText}, {"value", Column::kLongText}});
  const Json json = to_json(options);
  for (const auto& [key, value] : json.items()) {
    if (value.is_null() || (value.is_array() && value.empty())) continue;
    table.row({key, option_text(value)});
  }
  return table.html();
}

std::string inputs_table(const SanitizeReport& report) {
  HtmlTable table({{"input", Column::kText}, {"hash (xxh3-128)", Column::kIdentifier}});
  const auto add = [&](const std::string& name, const std::string& hash) {
    if (!hash.empty()) table.row({name, hash});
  };
  add("base weights", report.base_identity);
  add("base configuration and tokenizer", report.base_configuration);
  add("unlearned weights", report.unlearned_identity);
  for (const RetainFileReport& file : report.retain_files)
    add(fmt::format("{} ({} records, {} tokens)", file.name, file.records, file.tokens), file.hash);
  for (const RetainFileReport& file : report.forget_files)
    add(fmt::format("forget: {} ({} records, {} tokens)", file.name, file.records, file.tokens),
        file.hash);
  for (const std::string& router : report.routers) table.row({"router, left alone", router});
  return table.html();
}

}  // namespace

std::string provenance_section(const SanitizeReport& report, const std::string& tool_version) {
  return html_section("Where it comes from",
                      fmt::format("sagesan {}, a {} model; {} layers were run.", tool_version,
                                  report.architecture.empty() ? report.family : report.architecture,
                                  report.layers_run),
                      html_grid(inputs_table(report) + options_table(report.options)));
}

}  // namespace sagesan
