#include "sagesan/report/read_report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "sagesan/support/error.h"

namespace sagesan {
namespace {

std::optional<double> number(const JsonObject& object, const char* key) {
  return object.find(key) == nullptr ? std::nullopt : std::optional(object.number(key));
}

/// A norm or a bias: no less than nothing, and with a square that is a number.
double measured(const JsonObject& object, const char* key) {
  const double value = object.number(key);
  if (value < 0 || value > 1e150)
    object.fail(key, fmt::format("expected a number from 0 to 1e150, found {}", value));
  return value;
}

std::optional<double> measured_if_any(const JsonObject& object, const char* key) {
  return object.find(key) == nullptr ? std::nullopt : std::optional(measured(object, key));
}

std::optional<int64_t> count(const JsonObject& object, const char* key) {
  return object.find(key) == nullptr ? std::nullopt : std::optional(object.integer(key, 0));
}

std::vector<std::string> strings(const JsonObject& object, const char* key) {
  std::vector<std::string> result;
  const Json* list = object.find(key);
  if (list == nullptr) return result;
  if (!list->is_array()) object.fail(key, "expected a list of texts");
  for (const Json& item : *list) {
    if (!item.is_string()) object.fail(key, "expected a list of texts");
    result.push_back(item.get<std::string>());
  }
  return result;
}

JsonObject member(const JsonObject& object, const char* key) {
  return {object.require(key), fmt::format("{}: {}", object.where(), key)};
}

ReportOptions read_options(const JsonObject& json) {
  return {.method = json.string("method"),
          .strength = number(json, "strength"),
          .target_bias = number(json, "target_bias"),
          .carrier_gain = json.number_or("carrier_gain", 1),
          .energy = number(json, "energy"),
          .share = number(json, "share"),
          .anchor_floor = number(json, "anchor_floor"),
          .keep_forgetting = number(json, "keep_forgetting"),
          .other = json.string("other"),
          .include = strings(json, "include"),
          .exclude = strings(json, "exclude"),
          .activations = json.string_or("activations", "base"),
          .token_cap = json.number_or("token_cap", 0),
          .max_length = json.integer_or("max_length", 512),
          .retain_fields = strings(json, "retain_fields"),
          .retain_template = json.string_or("retain_template", ""),
          .split_long_texts = json.string_or("long_texts", "cut") == "split",
          .out_format = json.string_or("out_format", "full"),
          .dtype = json.string_or("dtype", "keep"),
          .rounding = json.string_or("rounding", "nearest"),
          .shard_bytes = static_cast<uint64_t>(json.integer_or("shard_size", 0))};
}

std::vector<int64_t> read_shape(const JsonObject& json) {
  const Json& list = json.require("shape");
  std::vector<int64_t> shape;
  if (!list.is_array()) json.fail("shape", "expected a list of sizes");
  for (const Json& size : list) {
    if (!size.is_number_integer()) json.fail("shape", "expected a list of sizes");
    shape.push_back(size.get<int64_t>());
  }
  return shape;
}

TensorReport read_tensor(const Json& value, const std::string& where) {
  const JsonObject unnamed(value, where + ": tensors");
  const std::string name = unnamed.string("name");
  const JsonObject json(value, fmt::format("{}: tensor {}", where, quote(name)));
  TensorReport tensor{.name = name,
                      .kind = json.string("kind"),
                      .treatment = json.string("treatment"),
                      .site = json.string_or("site", ""),
                      .dtype = json.string("dtype"),
                      .shape = read_shape(json),
                      .expert = count(json, "expert"),
                      .rank = count(json, "rank"),
                      .energy_share = number(json, "energy_share"),
                      .strength = number(json, "strength"),
                      .bias_before = measured_if_any(json, "bias_before"),
                      .bias_after = measured_if_any(json, "bias_after"),
                      .head_bias_before = measured_if_any(json, "head_bias_before"),
                      .head_bias_after = measured_if_any(json, "head_bias_after"),
                      .rounding_bias = measured_if_any(json, "rounding_bias"),
                      .channels_rolled_back = count(json, "channels_rolled_back"),
                      .channels_eligible = count(json, "channels_eligible"),
                      .norm_before = measured(json, "norm_before"),
                      .norm_after = measured(json, "norm_after")};
  if (json.find("target_reached") != nullptr)
    tensor.target_reached = json.boolean_or("target_reached", false);
  if (json.find("survival") != nullptr) {
    const JsonObject survival = member(json, "survival");
    tensor.survival = Survival{.stored = survival.number("stored"),
                               .int8 = survival.number("int8"),
                               .int4 = survival.number("int4")};
  }
  return tensor;
}

/// Empty in reports of versions that did not write it.
std::map<int64_t, double> read_eigenvalue_shares(const JsonObject& json) {
  std::map<int64_t, double> shares;
  const char* key = "eigenvalue_shares";
  const Json* list = json.find(key);
  if (list == nullptr) return shares;
  if (!list->is_array()) json.fail(key, "expected a list of [index, share]");
  for (const Json& point : *list) {
    if (!point.is_array() || point.size() != 2 || !point[0].is_number_integer() ||
        !point[1].is_number())
      json.fail(key, "expected a list of [index, share]");
    shares[point[0].get<int64_t>()] = point[1].get<double>();
  }
  return shares;
}

SiteReport read_site(const JsonObject& json) {
  return {.tokens = json.integer("tokens", 0),
          .channels = json.integer("channels", 0),
          .rank = count(json, "rank"),
          .energy_share = number(json, "energy_share"),
          .leading_share = number(json, "leading_share"),
          .largest_token_share = number(json, "largest_token_share"),
          .residual = number(json, "residual"),
          .eigenvalue_shares = read_eigenvalue_shares(json)};
}

void read_inputs(const JsonObject& json, SanitizeReport& report) {
  const JsonObject base = member(json, "base");
  const JsonObject unlearned = member(json, "unlearned");
  report.base_identity = base.string("identity");
  report.base_configuration = base.string_or("configuration", "");
  report.unlearned_identity = unlearned.string("identity");
  report.routers = strings(unlearned, "routers");
  report.retain_files = retain_files_from_json(json.require("retain"), json.where() + ": retain");
  if (const Json* forget = json.find("forget"))
    report.forget_files = retain_files_from_json(*forget, json.where() + ": forget");
}

SearchReport read_search(const JsonObject& json) {
  SearchReport search{.keep_forgetting = json.number("keep_forgetting"),
                      .best = json.string("best")};
  const Json& steps = json.require("steps");
  if (!steps.is_array()) json.fail("steps", "expected a list");
  for (const Json& value : steps) {
    const JsonObject step(value, json.where() + ": steps");
    search.steps.push_back({.candidate = step.string("candidate"),
                            .forget_loss = step.number("forget_loss"),
                            .retain_loss = step.number("retain_loss"),
                            .kept_forgetting = step.number("kept_forgetting")});
  }
  return search;
}

}  // namespace

StoredReport read_sanitize_report(const Json& value, const std::string& where) {
  const JsonObject json(value, where);
  if (json.find("schema_version") == nullptr || json.find("candidates") != nullptr)
    throw InputError(where, "is no report: expected the sagesan_report.json of 'sanitize'");
  const int64_t version = json.integer("schema_version", 0);
  if (version != kReportSchemaVersion) {
    json.fail("schema_version", fmt::format("found {}: this sagesan reads version {}", version,
                                            kReportSchemaVersion));
  }
  const JsonObject model = member(json, "model");
  const JsonObject summary = member(json, "summary");
  SanitizeReport report{.options = read_options(member(json, "options")),
                        .family = model.string_or("family", ""),
                        .architecture = model.string_or("architecture", ""),
                        .tokens = json.integer("tokens", 0),
                        .tensors_total = summary.integer("tensors", 0),
                        .tensors_from_base = summary.integer_or("tensors_from_base", 0, 0),
                        .layers_run = json.integer_or("layers_run", 0, 0)};
  read_inputs(member(json, "inputs"), report);
  if (json.find("search") != nullptr) report.search = read_search(member(json, "search"));
  const Json& sites = json.require("sites");
  if (!sites.is_object()) json.fail("sites", "expected an object");
  for (const auto& [name, site] : sites.items())
    report.sites[name] = read_site({site, fmt::format("{}: site {}", where, quote(name))});
  const Json& tensors = json.require("tensors");
  if (!tensors.is_array()) json.fail("tensors", "expected a list");
  for (const Json& tensor : tensors) report.tensors.push_back(read_tensor(tensor, where));
  return {std::move(report), member(json, "tool").string("version")};
}

}  // namespace sagesan
