#include <fmt/format.h>

#include "report_sections.h"
#include "sagesan/report/frontier.h"

namespace sagesan {

std::string search_section(const SanitizeReport& report) {
  if (!report.search) return "";
  std::vector<FrontierPoint> points;
  for (const SearchReport::Step& step : report.search->steps) {
    // What candidates differ in besides the strength is the first part of their names.
    const std::string& name = step.candidate;
    const size_t end = std::min(name.find(" strength="), name.find(" factor="));
    points.push_back({.series = name.substr(0, end),
                      .name = name,
                      .strength = -step.kept_forgetting,
                      .forget_loss = step.forget_loss,
                      .retain_loss = step.retain_loss,
                      .kept_forgetting = step.kept_forgetting});
  }
  return frontier_section(
      points, report.search->best,
      fmt::format(
          "What --auto tried on the half of the texts that judged; it asked for {:.4g} % of "
          "the forgetting.",
          report.search->keep_forgetting * 100));
}

}  // namespace sagesan
