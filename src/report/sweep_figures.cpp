#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "sagesan/report/figures.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

void add(ReportFigures& result, const JsonObject& object, const std::string& model, const char* key,
         Better better) {
  if (object.find(key) == nullptr) return;
  result.figures.push_back({.name = fmt::format("{}.{}", model, key),
                            .value = object.number(key),
                            .better = better,
                            .model = model,
                            .key = key});
}

/// Losses and probabilities on both kinds of texts, and what a candidate is judged by.
void add_model(ReportFigures& result, const Json& json, const std::string& model,
               const std::string& where) {
  const JsonObject object(json, where);
  for (const char* data : {"forget", "retain"}) {
    const bool keep = std::string_view(data) == "retain";
    const JsonObject scores(object.require(data), fmt::format("{}: {}", where, data));
    const std::string name = fmt::format("{}.{}", model, data);
    add(result, scores, name, "mean_negative_log_likelihood",
        keep ? Better::kLower : Better::kHigher);
    add(result, scores, name, "mean_answer_probability", keep ? Better::kHigher : Better::kLower);
  }
  add(result, object, model, "kept_forgetting", Better::kHigher);
  add(result, object, model, "recovered", Better::kHigher);
}

}  // namespace

ReportFigures sweep_figures(const Json& json, const std::string& where) {
  ReportFigures result{.where = where};
  const JsonObject object(json, where);
  if (object.integer_or("schema_version", 1, 0) != 1)
    object.fail("schema_version", "this sagesan reads version 1");
  for (const char* model : {"base", "unlearned"})
    add_model(result, object.require(model), model, fmt::format("{}: {}", where, model));
  const std::string best = object.string("best");
  const Json& candidates = object.require("candidates");
  if (!candidates.is_array()) object.fail("candidates", "expected a list");
  for (const Json& candidate : candidates) {
    const std::string place = where + ": candidates";
    if (JsonObject(candidate, place).string("name") == best)
      add_model(result, candidate, "best", fmt::format("{}: {}", place, quote(best)));
  }
  if (best == "unlearned") add_model(result, object.require(best), "best", where + ": unlearned");
  const Json& points = object.require("at_equal_forgetting");
  if (!points.is_array()) object.fail("at_equal_forgetting", "expected a list");
  for (const Json& value : points) {
    const JsonObject point(value, where + ": at_equal_forgetting");
    if (point.find("retain_loss") == nullptr) continue;
    result.figures.push_back({.name = "at_equal_forgetting." + point.string("series"),
                              .value = point.number("retain_loss"),
                              .better = Better::kLower});
  }
  return result;
}

}  // namespace sagesan
