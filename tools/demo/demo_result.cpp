// Needs no libtorch: the executable links it too.
#include <nlohmann/json.hpp>

#include "demo/demo.h"

namespace sagesan::demo {
namespace {

Json or_null(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

Json to_json(const Scores& scores) {
  return {{"forget", scores.forget}, {"heldout", scores.heldout}};
}

Json to_json(const Retention& retention) {
  return {{"forget", retention.forget},
          {"scaled", or_null(retention.scaled)},
          {"random", or_null(retention.random)},
          {"sanitized", or_null(retention.sanitized)}};
}

}  // namespace

std::optional<double> interpolate(const Scores& unlearned, const std::vector<Variant>& variants,
                                  const std::string& approach, double level) {
  Scores last = unlearned;
  for (const Variant& variant : variants) {
    if (variant.approach != approach) continue;
    const Scores& next = variant.scores;
    const bool crosses = (last.forget <= level) != (next.forget <= level) || next.forget == level;
    if (crosses && next.forget != last.forget) {
      const double share = (level - last.forget) / (next.forget - last.forget);
      return last.heldout + share * (next.heldout - last.heldout);
    }
    last = next;
  }
  return std::nullopt;
}

Retention DemoResult::mean_retention(const std::string& method) const {
  Retention mean{.scaled = 0, .random = 0, .sanitized = 0};
  double count = 0;
  for (const MethodResult& result : methods) {
    const Retention& one = result.retention;
    if (result.method != method || !one.scaled || !one.random || !one.sanitized) continue;
    count += 1;
    mean.forget += one.forget;
    *mean.scaled += *one.scaled;
    *mean.random += *one.random;
    *mean.sanitized += *one.sanitized;
  }
  if (count == 0) return {};
  return {.forget = mean.forget / count,
          .scaled = *mean.scaled / count,
          .random = *mean.random / count,
          .sanitized = *mean.sanitized / count};
}

Json DemoResult::to_json() const {
  Json json = {{"base", Json::array()}, {"methods", Json::array()}, {"means", Json::object()}};
  for (const Scores& scores : base) json["base"].push_back(demo::to_json(scores));
  for (const MethodResult& result : methods) {
    Json variants = Json::array();
    for (const Variant& variant : result.variants) {
      variants.push_back({{"approach", variant.approach},
                          {"strength", variant.strength},
                          {"scores", demo::to_json(variant.scores)}});
    }
    json["methods"].push_back({{"seed", result.seed},
                               {"method", result.method},
                               {"unlearned", demo::to_json(result.unlearned)},
                               {"variants", std::move(variants)},
                               {"retention", demo::to_json(result.retention)}});
    json["means"][result.method] = demo::to_json(mean_retention(result.method));
  }
  return json;
}

}  // namespace sagesan::demo
