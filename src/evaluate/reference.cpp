#include "sagesan/evaluate/reference.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "sagesan/evaluate/data_scores.h"
#include "sagesan/support/error.h"
#include "sagesan/support/json.h"

namespace sagesan {
namespace {

/// Appends the scores of a figure: `value_by_index`, of each record an object with a `score`.
void read_scores(const Json& figure, const std::string& where, std::vector<double>& scores) {
  const JsonObject object(figure, where);
  const std::string place = where + ": value_by_index";
  const Json& values = object.require("value_by_index");
  const JsonObject checked(values, place);
  for (const auto& item : values.items()) {
    const std::string record = fmt::format("{}: {}", place, quote(item.key()));
    const double score = JsonObject(item.value(), record).number("score");
    if (score < 0) throw InputError(record, "expected a truth ratio, found a negative number");
    scores.push_back(score);
  }
}

std::vector<double> read_own_truth_ratios(const Json& data, const std::string& where) {
  std::vector<double> scores;
  const JsonObject sets(data, where);
  for (const auto& item : data.items()) {
    const std::string place = fmt::format("{}: {}", where, quote(item.key()));
    const JsonObject set(item.value(), place);
    const Json* figure = set.find("truth_ratio");
    if (set.boolean_or("forget", false) && figure != nullptr)
      read_scores(*figure, place + ": truth_ratio", scores);
  }
  return scores;
}

}  // namespace

Reference read_reference(const std::filesystem::path& path) {
  const std::string where = path.string();
  const Json json = read_json_file(path);
  const JsonObject file(json, where);
  if (file.contains("models"))
    file.fail("models", "evaluations of several models; expected one of the retrained model alone");
  Reference reference;
  if (const Json* data = file.find("data")) {
    reference.truth_ratios = read_own_truth_ratios(*data, where + ": data");
  } else {
    for (const char* key : {"forget_truth_ratio", "forget_Truth_Ratio"}) {
      const Json* figure = file.find(key);
      if (figure == nullptr) continue;
      read_scores(*figure, fmt::format("{}: {}", where, key), reference.truth_ratios);
      break;
    }
  }
  if (const Json* membership = file.find("mia_min_k")) {
    const JsonObject figure(*membership, where + ": mia_min_k");
    reference.membership = figure.number("agg_value");
    if (*reference.membership < 0 || *reference.membership > 1)
      figure.fail("agg_value", "expected a number from 0 to 1");
  }
  if (reference.truth_ratios.empty() && !reference.membership) {
    throw InputError(
        where,
        "holds neither truth ratios of a forget set nor 'mia_min_k'; expected the "
        "JSON of `sagesan evaluate --forget NAME` or open-unlearning's TOFU_EVAL.json");
  }
  return reference;
}

double privacy_leak(double membership, double reference) {
  const double score = 1 - membership;
  const double other = 1 - reference;
  return (score - other) / (other + kTiny) * 100;
}

}  // namespace sagesan
