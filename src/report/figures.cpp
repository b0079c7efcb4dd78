#include "sagesan/report/figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "sagesan/report/read_report.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

struct Direction {
  std::string_view figure;
  Better kept, forget;  ///< of data that is to be kept, and of data that is to be forgotten
};

/// What `evaluate` is known to measure. What is not here (wrong answers' probabilities, membership,
/// which is best at 0.5, and PrivLeak, at 0) has no better side.
constexpr Direction kDirections[] = {
    {"mean_negative_log_likelihood", Better::kLower, Better::kHigher},
    {"perplexity", Better::kLower, Better::kHigher},
    {"mean_answer_probability", Better::kHigher, Better::kLower},
    {"probability", Better::kHigher, Better::kLower},
    {"paraphrased_probability", Better::kHigher, Better::kLower},
    {"truth_ratio", Better::kHigher, Better::kHigher},
    {"probability_w_options", Better::kHigher, Better::kLower},
    {"exact_memorization", Better::kHigher, Better::kLower},
    {"extraction_strength", Better::kHigher, Better::kLower},
    {"rouge", Better::kHigher, Better::kLower},
    {"rouge1_recall", Better::kHigher, Better::kLower},
    {"rougeL_recall", Better::kHigher, Better::kLower},
    {"rougeL_f1", Better::kHigher, Better::kLower},
    {"forget_quality", Better::kHigher, Better::kHigher},
    {"model_utility", Better::kHigher, Better::kHigher},
};

Better direction(const std::string& figure, bool forget) {
  for (const Direction& known : kDirections) {
    if (known.figure == figure) return forget ? known.forget : known.kept;
  }
  return Better::kUnknown;
}

/// Adds the numbers of one object, and the `agg_value` of its members: those of `of`.
void add_numbers(const JsonObject& object, const Json& members, const ReportFigure& of, bool forget,
                 ReportFigures& result) {
  const auto add = [&](const std::string& key, double value) {
    ReportFigure figure = of;
    figure.name += key;
    figure.key = key;
    figure.value = value;
    figure.better = direction(key, forget);
    result.figures.push_back(std::move(figure));
  };
  for (const auto& [key, value] : members.items()) {
    if (value.is_number()) {
      add(key, object.number(key));
    } else if (value.is_object() && value.contains("agg_value")) {
      const JsonObject figure(value, fmt::format("{}: {}", object.where(), quote(key)));
      if (figure.find("agg_value") != nullptr) add(key, figure.number("agg_value"));
    }
  }
}

void add_model(const Json& model, const std::string& where, const std::string& name,
               ReportFigures& result) {
  const std::string prefix = name.empty() ? "" : name + ".";
  const JsonObject object(model, where);
  const Json& data = object.require("data");
  if (!data.is_object()) object.fail("data", "expected an object with a member for each data set");
  for (const auto& [set, scores] : data.items()) {
    const JsonObject figures(scores, fmt::format("{}: data set {}", where, quote(set)));
    add_numbers(figures, scores,
                {.name = fmt::format("{}{}.", prefix, set), .model = name, .data = set},
                figures.boolean_or("forget", false), result);
  }
  add_numbers(object, model, {.name = prefix, .model = name}, false, result);
}

void add(ReportFigures& result, const char* name, const std::optional<double>& value,
         Better better) {
  if (value) result.figures.push_back({name, *value, better});
}

}  // namespace

const ReportFigure* ReportFigures::find(const std::string& name) const {
  const auto found = std::find_if(figures.begin(), figures.end(),
                                  [&](const ReportFigure& each) { return each.name == name; });
  return found == figures.end() ? nullptr : &*found;
}

const ReportFigure& ReportFigures::require(const std::string& name) const {
  if (const ReportFigure* found = find(name)) return *found;
  constexpr size_t kMostBytes = 1000;
  std::string known;
  for (const ReportFigure& figure : figures) {
    if (known.size() > kMostBytes) {
      known += ", ...";
      break;
    }
    known += (known.empty() ? "" : ", ") + printable(figure.name);
  }
  throw InputError(where, fmt::format("has no figure {}; it has {}", quote(name),
                                      known.empty() ? "none" : known));
}

ReportFigures sanitize_figures(const SanitizeReport& report, const std::string& where) {
  ReportFigures result{.where = where};
  for (const TensorReport& tensor : report.tensors) {
    if (tensor.bias_after) result.tensor_biases[tensor.name] = *tensor.bias_after;
    if (tensor.head_bias_after)
      result.tensor_biases[tensor.name + " (head)"] = *tensor.head_bias_after;
  }
  const auto by_value = [](const auto& a, const auto& b) { return a.second < b.second; };
  const auto worst =
      std::max_element(result.tensor_biases.begin(), result.tensor_biases.end(), by_value);
  if (worst != result.tensor_biases.end())
    result.figures.push_back({"bias_after.max", worst->second, Better::kLower, worst->first});
  const SanitizeSummary summary = report.summary();
  add(result, "bias_after.mean", summary.linear_mean_bias_after, Better::kLower);
  add(result, "bias_before.mean", summary.linear_mean_bias_before, Better::kUnknown);
  add(result, "bias_kept", summary.linear_kept_bias(), Better::kLower);
  add(result, "norm_kept", summary.kept_update_norm(), Better::kHigher);
  if (summary.survival) {
    add(result, "survival.stored", summary.survival->stored, Better::kHigher);
    add(result, "survival.int8", summary.survival->int8, Better::kHigher);
    add(result, "survival.int4", summary.survival->int4, Better::kHigher);
  }
  const auto count = [&](const char* name, int64_t value, Better better) {
    add(result, name, static_cast<double>(value), better);
  };
  count("target_missed", summary.missed, Better::kLower);
  count("changed", report.changed(), Better::kUnknown);
  count("solved", summary.solved, Better::kUnknown);
  count("tokens", report.tokens, Better::kUnknown);
  return result;
}

ReportFigures evaluate_figures(const Json& json, const std::string& where) {
  ReportFigures result{.where = where};
  const JsonObject object(json, where);
  if (object.integer_or("schema_version", 1, 0) != 1)
    object.fail("schema_version", "this sagesan reads version 1");
  if (const Json* models = object.find("models")) {
    if (!models->is_object()) object.fail("models", "expected an object");
    for (const auto& [name, model] : models->items())
      add_model(model, fmt::format("{}: model {}", where, quote(name)), name, result);
  } else {
    add_model(json, where, "", result);
  }
  return result;
}

ReportFigures report_figures(const Json& json, const std::string& where) {
  const JsonObject object(json, where);
  if (object.find("models") != nullptr || object.find("data") != nullptr)
    return evaluate_figures(json, where);
  if (object.find("candidates") != nullptr) return sweep_figures(json, where);
  if (object.find("schema_version") == nullptr) {
    throw InputError(where,
                     "is no report: expected the sagesan_report.json of 'sanitize' or the "
                     "JSON of 'evaluate' or 'sweep'");
  }
  return sanitize_figures(read_sanitize_report(json, where).report, where);
}

}  // namespace sagesan
