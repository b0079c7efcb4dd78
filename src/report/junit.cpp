#include "sagesan/report/junit.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "sagesan/report/markup.h"

namespace sagesan {

std::string junit_xml(const std::string& suite, const std::vector<CheckOutcome>& outcomes) {
  const auto failures = std::count_if(outcomes.begin(), outcomes.end(),
                                      [](const CheckOutcome& each) { return !each.passed; });
  const std::string counts = fmt::format("tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"0\"",
                                         outcomes.size(), failures);
  std::string xml = fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {}>\n <testsuite name=\"{}\" {}>\n",
      counts, escape_markup(suite), counts);
  for (const CheckOutcome& outcome : outcomes) {
    fmt::format_to(std::back_inserter(xml), "  <testcase classname=\"sagesan.check\" name=\"{}\">",
                   escape_markup(outcome.rule));
    const std::string measured = escape_markup(outcome.measured);
    if (outcome.passed) {
      fmt::format_to(std::back_inserter(xml), "<system-out>{}</system-out>", measured);
    } else {
      fmt::format_to(std::back_inserter(xml), "<failure message=\"{}\">{}</failure>", measured,
                     escape_markup(outcome.line()));
    }
    xml += "</testcase>\n";
  }
  return xml + " </testsuite>\n</testsuites>\n";
}

}  // namespace sagesan
