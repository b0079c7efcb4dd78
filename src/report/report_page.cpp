#include "sagesan/report/report_page.h"

#include <fmt/format.h>

#include <iterator>

#include "report_sections.h"
#include "sagesan/report/html_page.h"
#include "sagesan/report/html_table.h"
#include "sagesan/report/markup.h"

namespace sagesan {
namespace {

class Cards {
 public:
  void add(std::string_view name, const std::string& value, const std::string& note = "") {
    fmt::format_to(std::back_inserter(html_), "<div><dt>{}</dt><dd>{}</dd>", escape_markup(name),
                   escape_markup(value));
    if (!note.empty())
      fmt::format_to(std::back_inserter(html_), "<dd class=\"small\">{}</dd>", escape_markup(note));
    html_ += "</div>\n";
  }
  std::string html() const { return fmt::format("<dl class=\"cards\">\n{}</dl>\n", html_); }

 private:
  std::string html_;
};

std::string cards(const SanitizeReport& report) {
  const SanitizeSummary summary = report.summary();
  Cards cards;
  cards.add("bias kept", share_text(summary.linear_kept_bias()),
            fmt::format("{} → {}, mean of the linear modules",
                        short_number(summary.linear_mean_bias_before),
                        short_number(summary.linear_mean_bias_after)));
  cards.add("norm of the update kept", share_text(summary.kept_update_norm()),
            fmt::format("{} → {}", short_number(summary.update_norm_before),
                        short_number(summary.update_norm_after)));
  cards.add("tensors sanitized", std::to_string(summary.solved),
            fmt::format("of {} changed, {} in all", report.changed(),
                        report.tensors_total + report.tensors_from_base));
  cards.add("retain tokens", std::to_string(report.tokens));
  if (summary.survival) {
    cards.add("survives 4 bits", share_text(summary.survival->int4),
              fmt::format("8 bits: {}, as stored: {}", share_text(summary.survival->int8),
                          share_text(summary.survival->stored)));
  }
  if (summary.missed > 0)
    cards.add("target bias missed", std::to_string(summary.missed), "tensors keep more");
  return cards.html();
}

}  // namespace

std::string report_page(const SanitizeReport& report, const PageExtras& extras) {
  std::string body = cards(report) + search_section(report) + bias_section(report);
  if (extras.evaluation != nullptr) {
    body += metrics_section(*extras.evaluation, extras.evaluation_name);
    body += answers_section(*extras.evaluation, extras.evaluation_name);
  }
  body += update_section(report) + site_section(report) + tensor_section(report) +
          provenance_section(report, extras.tool_version);
  const std::string& model = report.architecture.empty() ? report.family : report.architecture;
  return html_page(fmt::format("Sanitized {} ({})", model, report.options.method), body);
}

}  // namespace sagesan
