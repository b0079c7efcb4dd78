#include <fmt/format.h>

#include "sagesan/jobs/sweep.h"
#include "sagesan/report/frontier.h"
#include "sagesan/report/html_page.h"
#include "sagesan/report/html_table.h"

namespace sagesan {
namespace {

FrontierPoint point_of(const SweepCandidate& candidate, const std::string& series,
                       const std::string& name) {
  return {.series = series,
          .name = name,
          .strength = candidate.dose(),
          .forget_loss = candidate.forget.mean_negative_log_likelihood,
          .retain_loss = candidate.retain.mean_negative_log_likelihood,
          .kept_forgetting = candidate.kept_forgetting,
          .recovered = candidate.recovered};
}

std::string equal_forgetting_section(const SweepResult& result) {
  HtmlTable table({{"method", Column::kText}, {"retain loss", Column::kNumber}});
  for (const auto& point : result.at_equal_forgetting())
    table.row({point.series, short_number(point.retain_loss)});
  return html_section("At equal forgetting",
                      fmt::format("Retain loss where {:.4g} % of the forgetting is left, "
                                  "interpolated between the candidates of one method.",
                                  result.keep_forgetting * 100),
                      table.html());
}

std::string inputs_section(const SweepResult& result) {
  HtmlTable table({{"texts", Column::kText},
                   {"tokens", Column::kNumber},
                   {"hash (xxh3-128)", Column::kIdentifier}});
  for (const auto& [what, files] :
       {std::pair("forget", &result.forget_files), {"retain", &result.retain_files}}) {
    for (const RetainFileReport& file : *files)
      table.row({fmt::format("{}: {}", what, file.name), std::to_string(file.tokens), file.hash});
  }
  return html_section("Judged by", fmt::format("sagesan {}", SAGESAN_VERSION), table.html());
}

}  // namespace

std::string sweep_page(const SweepResult& result) {
  std::vector<FrontierPoint> points = {
      {.series = "base",
       .name = "base",
       .forget_loss = result.base_forget.mean_negative_log_likelihood,
       .retain_loss = result.base_retain.mean_negative_log_likelihood},
      point_of(result.unlearned, "unlearned", "unlearned")};
  for (const SweepCandidate& candidate : result.candidates)
    points.push_back(point_of(candidate, candidate.series(), candidate.name()));
  const std::string best = result.best_name();
  const std::string text =
      fmt::format("Best of those that keep at least {:.4g} % of the forgetting: {}.{}",
                  result.keep_forgetting * 100, best,
                  result.nothing_beats_scaling()
                      ? " Nothing beats scaling the whole update down on these texts."
                      : "");
  return html_page("Ways to sanitize", frontier_section(points, best, text) +
                                           equal_forgetting_section(result) +
                                           inputs_section(result));
}

}  // namespace sagesan
