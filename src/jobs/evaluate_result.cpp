#include <nlohmann/json.hpp>

#include "sagesan/jobs/evaluate.h"

namespace sagesan {

Json EvaluateResult::to_json() const {
  Json json = {{"data", Json::object()}};
  if (!retain_template.empty()) json["retain_template"] = retain_template;
  for (const DataSet& set : data_sets) {
    json["data"][set.name] = {
        {"file", set.file.name},
        {"xxh3", set.file.hash},
        {"records", set.summary.records},
        {"truncated", set.file.truncated},
        {"tokens", set.summary.tokens},
        {"mean_negative_log_likelihood", set.summary.mean_negative_log_likelihood},
        {"perplexity", set.summary.perplexity},
        {"mean_answer_probability", set.summary.mean_answer_probability}};
  }
  return json;
}

}  // namespace sagesan
