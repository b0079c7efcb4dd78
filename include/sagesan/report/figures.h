#pragma once

#include <map>
#include <string>
#include <vector>

#include "sagesan/report/sanitize_report.h"

namespace sagesan {

/// Which way a figure improves.
enum class Better { kLower, kHigher, kUnknown };

/// One number that a report says.
struct ReportFigure {
  std::string name;  ///< "bias_after.max", "forget.perplexity", "clean.forget.perplexity"
  double value = 0;
  Better better = Better::kUnknown;
  std::string tensor;  ///< whose it is; empty where it is not one tensor's
  /// Of an evaluation: the model, empty where there is only one, and the data set, empty where the
  /// figure is the model's; `name` consists of them and what it is called there.
  std::string model, data, key;
};

/// The figures of a whole report, by which it can be judged.
struct ReportFigures {
  std::string where;  ///< the file, as messages name it
  std::vector<ReportFigure> figures;
  /// `bias_after` of each tensor; "NAME (head)" is a tied embedding's as the head. Lower is better.
  std::map<std::string, double> tensor_biases;

  /// Null where there is none of that name.
  const ReportFigure* find(const std::string& name) const;
  /// Throws `InputError` that says which figures there are.
  const ReportFigure& require(const std::string& name) const;
};

/// Of a `sagesan_report.json`; docs/check.md lists the names.
ReportFigures sanitize_figures(const SanitizeReport& report, const std::string& where);

/// Of the JSON that `evaluate` writes: every number of a data set, `DATA.FIGURE`, and of a model,
/// with several models after `MODEL.`; of figures by record the `agg_value`. Throws `InputError`.
ReportFigures evaluate_figures(const Json& json, const std::string& where);

/// Of the JSON that `sweep` writes: losses and probabilities of the base, the unlearned model and
/// the best candidate (`best.retain.mean_negative_log_likelihood`), what the latter is judged by
/// (`best.kept_forgetting`), and the retain loss of each series at equal forgetting
/// (`at_equal_forgetting.SERIES`). Throws `InputError`.
ReportFigures sweep_figures(const Json& json, const std::string& where);

/// Of any of them; `json` comes from the file `where`. Throws `InputError` for anything else.
ReportFigures report_figures(const Json& json, const std::string& where);

}  // namespace sagesan
