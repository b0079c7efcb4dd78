#include "sagesan/report/sanitize_report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "sagesan/support/optional_json.h"

namespace sagesan {
namespace {

Json survival_json(const std::optional<Survival>& survival) {
  if (!survival) return nullptr;
  return {{"stored", survival->stored}, {"int8", survival->int8}, {"int4", survival->int4}};
}

Json tensor_json(const TensorReport& tensor) {
  Json json = {{"name", tensor.name},
               {"kind", tensor.kind},
               {"treatment", tensor.treatment},
               {"site", tensor.site.empty() ? Json(nullptr) : Json(tensor.site)},
               {"dtype", tensor.dtype},
               {"shape", tensor.shape},
               {"expert", or_null(tensor.expert)},
               {"rank", or_null(tensor.rank)},
               {"energy_share", or_null(tensor.energy_share)},
               {"strength", or_null(tensor.strength)},
               {"bias_before", or_null(tensor.bias_before)},
               {"bias_after", or_null(tensor.bias_after)},
               {"norm_before", tensor.norm_before},
               {"norm_after", tensor.norm_after},
               {"survival", survival_json(tensor.survival)}};
  if (tensor.head_bias_before) {
    json["head_bias_before"] = or_null(tensor.head_bias_before);
    json["head_bias_after"] = or_null(tensor.head_bias_after);
  }
  if (tensor.target_reached) json["target_reached"] = *tensor.target_reached;
  if (tensor.rounding_bias) json["rounding_bias"] = *tensor.rounding_bias;
  if (tensor.channels_rolled_back) {
    json["channels_rolled_back"] = *tensor.channels_rolled_back;
    json["channels_eligible"] = or_null(tensor.channels_eligible);
  }
  return json;
}

Json summary_json(const SanitizeReport& report) {
  const SanitizeSummary summary = report.summary();
  return {
      {"tensors", report.tensors_total},
      {"tensors_from_base", report.tensors_from_base},
      {"changed", report.changed()},
      {"treatments", {{"solved", summary.solved}, {"kept", summary.kept}, {"base", summary.base}}},
      {"target_missed", summary.missed},
      {"linear_mean_bias_before", or_null(summary.linear_mean_bias_before)},
      {"linear_mean_bias_after", or_null(summary.linear_mean_bias_after)},
      {"linear_mean_rounding_bias", or_null(summary.linear_mean_rounding_bias)},
      {"linear_kept_bias", or_null(summary.linear_kept_bias())},
      {"update_norm_before", summary.update_norm_before},
      {"update_norm_after", summary.update_norm_after},
      {"kept_update_norm", or_null(summary.kept_update_norm())},
      {"survival", survival_json(summary.survival)}};
}

std::optional<double> ratio(double part, double whole) {
  return whole > 0 ? std::optional(part / whole) : std::nullopt;
}

Json search_json(const SearchReport& search) {
  Json steps = Json::array();
  for (const SearchReport::Step& step : search.steps) {
    steps.push_back({{"candidate", step.candidate},
                     {"forget_loss", step.forget_loss},
                     {"retain_loss", step.retain_loss},
                     {"kept_forgetting", step.kept_forgetting}});
  }
  return {{"keep_forgetting", search.keep_forgetting}, {"best", search.best}, {"steps", steps}};
}

}  // namespace

Json to_json(const ReportOptions& options) {
  Json json = {{"method", options.method},
               {"strength", or_null(options.strength)},
               {"target_bias", or_null(options.target_bias)},
               {"carrier_gain", options.carrier_gain},
               {"energy", or_null(options.energy)},
               {"other", options.other},
               {"include", options.include},
               {"exclude", options.exclude},
               {"activations", options.activations},
               {"token_cap", options.token_cap},
               {"max_length", options.max_length},
               {"retain_fields", options.retain_fields},
               {"long_texts", options.split_long_texts ? "split" : "cut"},
               {"out_format", options.out_format},
               {"dtype", options.dtype},
               {"rounding", options.rounding},
               {"shard_size", options.shard_bytes == 0 ? Json(nullptr) : Json(options.shard_bytes)},
               {"retain_template",
                options.retain_template.empty() ? Json(nullptr) : Json(options.retain_template)}};
  if (options.share) json["share"] = *options.share;
  if (options.keep_forgetting) json["keep_forgetting"] = *options.keep_forgetting;
  if (options.anchor_floor) json["anchor_floor"] = *options.anchor_floor;
  return json;
}

std::optional<double> SanitizeSummary::linear_kept_bias() const {
  if (!linear_mean_bias_before) return std::nullopt;
  return ratio(*linear_mean_bias_after, *linear_mean_bias_before);
}

std::optional<double> SanitizeSummary::kept_update_norm() const {
  return ratio(update_norm_after, update_norm_before);
}

bool SanitizeSummary::rounding_matters() const {
  constexpr double kShare = 0.1;
  return linear_mean_rounding_bias && *linear_mean_rounding_bias > 0 &&
         *linear_mean_rounding_bias >= kShare * *linear_mean_bias_after;
}

int64_t SanitizeReport::changed() const {
  return std::count_if(tensors.begin(), tensors.end(),
                       [](const TensorReport& tensor) { return tensor.expert.value_or(0) == 0; });
}

SanitizeSummary SanitizeReport::summary() const {
  SanitizeSummary summary;
  double bias_before = 0;
  double bias_after = 0;
  double rounding = 0;
  int64_t linear = 0;
  Survival survival;
  double survivors = 0;
  std::set<std::string> missed;  // of parts, the whole
  for (const TensorReport& tensor : tensors) {
    // The parts of a tensor of all experts count as one, treated as the first of them.
    if (tensor.expert.value_or(0) == 0) {
      ++(tensor.treatment == "solved" ? summary.solved
         : tensor.treatment == "base" ? summary.base
                                      : summary.kept);
    }
    if (tensor.target_reached == false)
      missed.insert(
          tensor.name.substr(0, tensor.expert ? tensor.name.rfind('[') : std::string::npos));
    summary.update_norm_before += tensor.norm_before * tensor.norm_before;
    summary.update_norm_after += tensor.norm_after * tensor.norm_after;
    if (tensor.survival) {
      const double weight = tensor.norm_after * tensor.norm_after;
      survival.stored += weight * tensor.survival->stored;
      survival.int8 += weight * tensor.survival->int8;
      survival.int4 += weight * tensor.survival->int4;
      survivors += weight;
    }
    if (tensor.kind == "linear" && tensor.bias_before && tensor.bias_after) {
      bias_before += *tensor.bias_before;
      bias_after += *tensor.bias_after;
      rounding += tensor.rounding_bias.value_or(0);
      ++linear;
    }
  }
  if (survivors > 0) {
    summary.survival = {.stored = survival.stored / survivors,
                        .int8 = survival.int8 / survivors,
                        .int4 = survival.int4 / survivors};
  }
  summary.update_norm_before = std::sqrt(summary.update_norm_before);
  summary.update_norm_after = std::sqrt(summary.update_norm_after);
  if (linear > 0) {
    summary.linear_mean_bias_before = bias_before / static_cast<double>(linear);
    summary.linear_mean_bias_after = bias_after / static_cast<double>(linear);
    summary.linear_mean_rounding_bias = rounding / static_cast<double>(linear);
  }
  summary.missed = static_cast<int64_t>(missed.size());
  return summary;
}

Json SanitizeReport::to_json() const {
  Json json = {{"schema_version", kReportSchemaVersion},
               {"tool", {{"name", "sagesan"}, {"version", SAGESAN_VERSION}}},
               {"options", sagesan::to_json(options)},
               {"model", {{"family", family}, {"architecture", architecture}}},
               {"inputs",
                {{"base", {{"identity", base_identity}, {"configuration", base_configuration}}},
                 {"unlearned", {{"identity", unlearned_identity}}},
                 {"retain", sagesan::to_json(retain_files)}}},
               {"tokens", tokens},
               {"layers_run", layers_run},
               {"summary", summary_json(*this)},
               {"sites", Json::object()},
               {"tensors", Json::array()}};
  if (search) json["search"] = search_json(*search);
  if (!forget_files.empty()) json["inputs"]["forget"] = sagesan::to_json(forget_files);
  if (!routers.empty()) json["inputs"]["unlearned"]["routers"] = routers;
  for (const auto& [name, site] : sites) {
    json["sites"][name] = {{"tokens", site.tokens},
                           {"channels", site.channels},
                           {"rank", or_null(site.rank)},
                           {"energy_share", or_null(site.energy_share)},
                           {"leading_share", or_null(site.leading_share)},
                           {"largest_token_share", or_null(site.largest_token_share)},
                           {"residual", or_null(site.residual)},
                           {"eigenvalue_shares", Json::array()}};
    for (const auto& point : site.eigenvalue_shares)
      json["sites"][name]["eigenvalue_shares"].push_back(point);
  }
  for (const TensorReport& tensor : tensors) json["tensors"].push_back(tensor_json(tensor));
  return json;
}

}  // namespace sagesan
