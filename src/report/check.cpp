#include "sagesan/report/check.h"

#include <fmt/format.h>

#include <cmath>
#include <initializer_list>
#include <limits>
#include <map>
#include <string_view>

#include "sagesan/support/error.h"

namespace sagesan {
namespace {

/// The earlier figure and what may become of it.
struct Bounds {
  double least = -std::numeric_limits<double>::infinity();
  double most = std::numeric_limits<double>::infinity();

  bool hold(double value) const { return value >= least && value <= most; }
};

/// Six digits, or all where those would not tell the value from a bound.
class Digits {
 public:
  Digits(double value, std::initializer_list<double> bounds) {
    for (const double bound : bounds)
      all_ =
          all_ || (value != bound && fmt::format("{:.6g}", value) == fmt::format("{:.6g}", bound));
  }
  std::string operator()(double value) const {
    return all_ ? fmt::format("{}", value) : fmt::format("{:.6g}", value);
  }

 private:
  bool all_ = false;
};

Bounds bounds_of(double earlier, Better better, double tolerance) {
  const double leeway = tolerance * std::abs(earlier);
  Bounds bounds;
  if (better != Better::kHigher) bounds.most = earlier + leeway;
  if (better != Better::kLower) bounds.least = earlier - leeway;
  return bounds;
}

std::string of_tensor(const std::string& tensor) {
  return tensor.empty() ? "" : fmt::format(" (tensor {})", quote(tensor));
}

CheckOutcome compare(const std::string& rule, double now, double earlier, const Bounds& bounds,
                     const std::string& tensor) {
  const Digits digits(now, {bounds.least, bounds.most});
  const std::string least = digits(bounds.least);
  const std::string most = digits(bounds.most);
  const std::string expected = std::isinf(bounds.most)    ? "at least " + least
                               : std::isinf(bounds.least) ? "at most " + most
                                                          : least + " to " + most;
  return {.rule = rule,
          .passed = bounds.hold(now),
          .measured = fmt::format("{}, earlier {}: expected {}{}", digits(now), digits(earlier),
                                  expected, of_tensor(tensor))};
}

/// How many times the earlier bias it is.
double growth(double now, double earlier) {
  if (earlier > 0) return now / earlier;
  return now > 0 ? std::numeric_limits<double>::infinity() : 0;
}

}  // namespace

std::string CheckRule::text() const {
  return fmt::format("{} {} {}", figure, at_most ? "<=" : ">=", bound);
}

std::string CheckOutcome::line() const {
  return fmt::format("{:<6}  {}: {}", passed ? "ok" : "FAILED", printable(rule), measured);
}

CheckOutcome check_rule(const CheckRule& rule, const ReportFigures& report) {
  const ReportFigure& figure = report.require(rule.figure);
  const bool passed = rule.at_most ? figure.value <= rule.bound : figure.value >= rule.bound;
  return {.rule = rule.text(),
          .passed = passed,
          .measured = Digits(figure.value, {rule.bound})(figure.value) + of_tensor(figure.tensor)};
}

std::vector<CheckOutcome> check_against(const ReportFigures& report, const ReportFigures& earlier,
                                        double tolerance) {
  std::vector<CheckOutcome> outcomes;
  std::map<std::string_view, double> earlier_values;
  for (const ReportFigure& figure : earlier.figures)
    earlier_values.emplace(figure.name, figure.value);
  for (const ReportFigure& figure : report.figures) {
    const auto before = earlier_values.find(figure.name);
    if (before == earlier_values.end()) continue;
    outcomes.push_back(compare(figure.name + " against the earlier", figure.value, before->second,
                               bounds_of(before->second, figure.better, tolerance), figure.tensor));
  }
  const std::string* worst = nullptr;
  double worst_growth = -1;
  for (const auto& [tensor, now] : report.tensor_biases) {
    const auto before = earlier.tensor_biases.find(tensor);
    if (before == earlier.tensor_biases.end()) continue;
    if (const double grown = growth(now, before->second); grown > worst_growth) {
      worst_growth = grown;
      worst = &tensor;
    }
  }
  if (worst != nullptr) {
    const double before = earlier.tensor_biases.at(*worst);
    outcomes.push_back(compare("bias_after of each tensor against the earlier",
                               report.tensor_biases.at(*worst), before,
                               bounds_of(before, Better::kLower, tolerance), *worst));
  }
  if (outcomes.empty())
    throw InputError(report.where, "has no figure in common with " + printable(earlier.where));
  return outcomes;
}

}  // namespace sagesan
