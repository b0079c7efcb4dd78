#include "sagesan/report/model_card.h"

#include <fmt/format.h>

#include <iterator>

#include "sagesan/support/error.h"

namespace sagesan {
namespace {

class Table {
 public:
  Table(std::string_view left, std::string_view right) {
    row(left, right);
    row("---", "---");
  }
  void row(std::string_view left, std::string_view right) {
    fmt::format_to(std::back_inserter(text_), "| {} | {} |\n", left, right);
  }
  void number(std::string_view left, const std::optional<double>& value) {
    if (value) row(left, fmt::format("{:.4g}", *value));
  }
  std::string text() const { return text_ + "\n"; }

 private:
  std::string text_;
};

/// Names come from strangers: nothing in them must be Markdown.
std::string code(const std::string& text) {
  std::string safe;
  for (const char c : printable(text)) safe += c == '`' || c == '|' ? '_' : c;
  return "`" + safe + "`";
}

std::string markdown_options(const ReportOptions& options) {
  Table table("option", "value");
  table.row("method", options.method);
  table.number("strength", options.strength);
  table.number("target bias", options.target_bias);
  table.number("share of channels", options.share);
  table.number("carrier gain", options.carrier_gain);
  table.number("energy", options.energy);
  table.row("embeddings, norms, biases", options.other);
  table.row("activations of", options.activations);
  for (const std::string& expression : options.include) table.row("include", code(expression));
  for (const std::string& expression : options.exclude) table.row("exclude", code(expression));
  table.row("output", fmt::format("{}, dtype {}", options.out_format, options.dtype));
  return table.text();
}

std::string figures_table(const SanitizeReport& report) {
  const SanitizeSummary summary = report.summary();
  Table table("figure", "value");
  table.row("changed tensors",
            fmt::format("{} of {}, {} sanitized", report.changed(),
                        report.tensors_total + report.tensors_from_base, summary.solved));
  table.row("retain tokens", std::to_string(report.tokens));
  table.number("retention activation bias before (mean of the linear modules)",
               summary.linear_mean_bias_before);
  table.number("retention activation bias after", summary.linear_mean_bias_after);
  table.number("norm of the update before", summary.update_norm_before);
  table.number("norm of the update after", summary.update_norm_after);
  if (summary.survival) {
    table.number("cosine of the update and what the stored dtype keeps of it",
                 summary.survival->stored);
    table.number("... rounding to 8 bits", summary.survival->int8);
    table.number("... rounding to 4 bits", summary.survival->int4);
  }
  return table.text();
}

}  // namespace

std::string model_card(const SanitizeReport& report) {
  std::string text = fmt::format(
      "---\ntags:\n- unlearning\n- sagesan\n---\n\n"
      "# Sanitized unlearned model\n\n"
      "The update that unlearning made to a {} model, with the damage to retained inputs taken out "
      "by [SAGE](https://arxiv.org/abs/2606.18309): sagesan {}. Every figure of every tensor is in "
      "`{}`.\n\n",
      code(report.architecture.empty() ? report.family : report.architecture), SAGESAN_VERSION,
      kReportName);
  text += markdown_options(report.options);
  text += figures_table(report);
  Table inputs("input", "identity (xxh3-128)");
  inputs.row("base", code(report.base_identity));
  inputs.row("unlearned", code(report.unlearned_identity));
  for (const RetainFileReport& file : report.retain_files)
    inputs.row("retain " + code(file.name), code(file.hash));
  text += inputs.text();
  if (!report.routers.empty()) {
    text += fmt::format(
        "The adapter is routed at run time: each shared A was sanitized for all its factors B; "
        "those and the routers' {} tensors (`{}` names them) are the unlearned adapter's.\n",
        report.routers.size(), kReportName);
  }
  return text;
}

}  // namespace sagesan
