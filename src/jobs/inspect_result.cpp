#include <nlohmann/json.hpp>

#include "sagesan/jobs/inspect.h"
#include "sagesan/support/optional_json.h"

namespace sagesan {
namespace {

/// A number for each model, by its name.
template <typename Value>
Json by_model(const std::vector<std::string>& models, const Value& value) {
  Json json = Json::object();
  for (size_t i = 0; i < models.size(); ++i) json[models[i]] = or_null(value(i));
  return json;
}

Json moments_json(const MomentsBias& moments, const std::vector<std::string>& models) {
  const auto bias = [&](const BiasRow& row) {
    return by_model(models, [&](size_t i) { return row.bias(i); });
  };
  Json json = {
      {"texts", to_json(moments.files)},
      {"tokens", moments.tokens},
      {"linear_mean_bias", by_model(models, [&](size_t i) { return moments.linear_mean(i); })},
      {"layers", Json::array()},
      {"sites", Json::array()},
      {"tensors", Json::array()}};
  for (const BiasRow& row : moments.layers)
    json["layers"].push_back({{"layer", *row.layer}, {"bias", bias(row)}});
  for (const BiasRow& row : moments.sites)
    json["sites"].push_back({{"site", row.name}, {"bias", bias(row)}});
  for (const BiasRow& row : moments.tensors) {
    json["tensors"].push_back({{"name", row.name},
                               {"kind", row.kind},
                               {"site", row.site.empty() ? Json(nullptr) : Json(row.site)},
                               {"bias", bias(row)}});
  }
  return json;
}

}  // namespace

std::optional<double> BiasRow::bias(size_t model) const {
  return base > 0 ? std::optional(updates.at(model) / base) : std::nullopt;
}

std::optional<double> MomentsBias::linear_mean(size_t model) const {
  double sum = 0;
  double count = 0;
  for (const BiasRow& row : tensors) {
    const std::optional<double> bias = row.bias(model);
    if (row.kind != "linear" || !bias) continue;
    sum += *bias;
    ++count;
  }
  return count > 0 ? std::optional(sum / count) : std::nullopt;
}

Json InspectResult::to_json() const {
  Json json = {{"architecture", architecture.empty() ? Json(nullptr) : Json(architecture)},
               {"base", {{"identity", base_identity}}},
               {"unlearned", {{"identity", unlearned_identity}}},
               {"tensors", tensors_total},
               {"changed", Json::array()}};
  for (const ChangedTensor& row : changed) {
    json["changed"].push_back({{"name", row.name},
                               {"kind", row.kind},
                               {"layer", or_null(row.layer)},
                               {"dtype", row.dtype},
                               {"shape", row.shape},
                               {"update_norm", or_null(row.update_norm)},
                               {"relative_norm", or_null(row.relative_norm)}});
  }
  for (const MomentsBias& each : moments) json["moments"][each.name] = moments_json(each, models);
  return json;
}

}  // namespace sagesan
