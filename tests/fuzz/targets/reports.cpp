#include <nlohmann/json.hpp>

#include "fuzz/fuzz.h"
#include "sagesan/evaluate/reference.h"
#include "sagesan/report/check.h"
#include "sagesan/report/figures.h"
#include "sagesan/report/read_report.h"
#include "sagesan/report/report_page.h"
#include "sagesan/support/json.h"
#include "sagesan/support/utf8.h"

// What `check` and `report` read: files that sagesan once wrote, and that anybody may have changed
// since.

namespace sagesan::fuzz {
namespace {

void check_page(const std::string& page) {
  require(find_invalid_utf8(page) == std::string::npos, "a page that is no UTF-8");
  require(page.find("<script>stranger") == std::string::npos,
          "what a stranger wrote runs as a script");
}

}  // namespace

FUZZ_TARGET(report) {
  const auto path = put("sagesan_report.json", bytes);
  loads_or_refuses([&] {
    const Json json = read_json_file(path);
    const StoredReport stored = read_sanitize_report(json, path.string());
    check_page(report_page(stored.report, {.tool_version = stored.tool_version}));
    const Json written = stored.report.to_json();
    require(read_sanitize_report(written, "/again").report.to_json() == written,
            "reads back as something else");
  });
}

FUZZ_TARGET(figures) {
  const auto path = put("figures.json", bytes);
  loads_or_refuses([&] {
    const ReportFigures figures = report_figures(read_json_file(path), path.string());
    for (const CheckOutcome& outcome : check_against(figures, figures, 0.05))
      require(outcome.passed, "worse than itself: " + outcome.line());
  });
}

FUZZ_TARGET(evaluation) {
  const auto path = put("evaluation.json", bytes);
  loads_or_refuses([&] {
    const Json json = read_json_file(path);
    PageExtras extras{.evaluation = &json, .evaluation_name = path.string()};
    check_page(report_page({}, extras));
  });
}

FUZZ_TARGET(reference) {
  const auto path = put("reference.json", bytes);
  loads_or_refuses([&] { read_reference(path); });
}

}  // namespace sagesan::fuzz
