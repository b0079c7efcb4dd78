#include "sagesan/checkpoint/adapter_configuration.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <string_view>

#include "sagesan/support/error.h"
#include "sagesan/support/file.h"
#include "sagesan/support/json.h"

namespace sagesan {
namespace {

constexpr uint64_t kMaxBytes = uint64_t{4} << 20;
constexpr int64_t kMaxRank = int64_t{1} << 24;

/// Keys that are read, and those that say nothing about the merged weights: what was adapted is
/// seen in the tensors, dropout and HydraLoRA's balance loss (blc) matter
/// in training alone.
constexpr std::array<std::string_view, 36> kKnown = {
    "alpha_pattern",
    "auto_mapping",
    "base_model_name_or_path",
    "bias",
    "blc_alpha",
    "blc_weight",
    "corda_config",
    "eva_config",
    "exclude_modules",
    "fan_in_fan_out",
    "inference_mode",
    "init_lora_weights",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_alpha",
    "lora_bias",
    "lora_dropout",
    "lora_nums",
    "lora_ga_config",
    "megatron_core",
    "modules_to_save",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "r",
    "rank_pattern",
    "revision",
    "target_modules",
    "target_parameters",
    "task_type",
    "use_dora",
    "use_rslora",
    "runtime_config",
    "enable_lora",
    "merge_weights",
};

/// Keys whose option changes the merged weights, and why it is refused.
constexpr std::array<std::pair<std::string_view, std::string_view>, 12> kRefused = {{
    {"alora_invocation_tokens", "aLoRA acts from an invocation token on: it has no merged weights"},
    {"arrow_config", "Arrow routes every token at run time: it has no merged weights"},
    {"ensure_weight_tying", "adapters of tied weights are not supported: merge it with peft"},
    {"kasa_config", "KaSA changes the base weights: merge it with peft"},
    {"layer_replication", "replicated layers are not supported"},
    {"megatron_config", "Megatron's parallel layers are not supported"},
    {"monteclora_config", "MonteCLoRA is not supported: merge it with peft"},
    {"trainable_token_indices", "trainable tokens are not supported: merge it with peft"},
    {"use_bdlora", "block-diagonal LoRA is not supported: merge it with peft"},
    {"use_qalora", "QALoRA is not supported: it adapts pooled inputs of a quantized model"},
    {"use_vera", "VeRA is not supported"},
    {"velora_config", "VeLoRA is not supported: merge it with peft"},
}};

/// null, false, nothing: what a newer peft writes for what was not asked for.
bool says_nothing(const Json& value) {
  if (value.is_null()) return true;
  if (value.is_boolean()) return !value.get<bool>();
  if (value.is_string()) return value.get<std::string>().empty();
  return (value.is_object() || value.is_array()) && value.empty();
}

/// How training started. Where the base was changed then, A and B belong to that changed base,
/// which is not saved (peft: tuners/lora/layer.py `pissa_init`, `olora_init`, ...).
void check_initial_weights(const JsonObject& config) {
  const Json* value = config.find("init_lora_weights");
  if (value == nullptr || value->is_boolean()) return;
  const std::string kind = config.string("init_lora_weights");
  if (kind == "gaussian" || kind == "eva" || kind == "orthogonal" || kind == "mica") return;
  config.fail("init_lora_weights",
              fmt::format("{}: such training starts by changing the base weights; save the adapter "
                          "with peft's path_initial_model_for_weight_conversion, or merge it with "
                          "peft",
                          quote(kind)));
}

std::vector<std::string> read_names(const JsonObject& config, std::string_view key) {
  std::vector<std::string> names;
  const Json* value = config.find(key);
  if (value == nullptr) return names;
  if (!value->is_array())
    config.fail(key, fmt::format("expected a list of names, found {}", value->type_name()));
  for (const Json& name : *value) {
    if (!name.is_string() || name.get<std::string>().empty())
      config.fail(key, fmt::format("{} is no name", quote(name.dump())));
    names.push_back(name.get<std::string>());
  }
  return names;
}

/// `document` has the order of the file, `config` does not. `check` sees each value.
NamePatterns read_pattern(
    const JsonObject& config, const nlohmann::ordered_json& document, const char* key,
    const std::function<void(const std::string& expression, double value)>& check = nullptr) {
  NamePatterns result(fmt::format("{}: key '{}'", config.where(), key));
  if (config.find(key) == nullptr) return result;
  const auto& pattern = document.at(key);
  if (!pattern.is_object())
    config.fail(key,
                fmt::format("expected expressions and numbers, found {}", pattern.type_name()));
  for (const auto& [expression, value] : pattern.items()) {
    if (!value.is_number() || !std::isfinite(value.template get<double>()))
      config.fail(key, fmt::format("{}: expected a number", quote(expression)));
    const auto number = value.template get<double>();
    if (check) check(expression, number);
    result.add(expression, number);
  }
  return result;
}

bool read_bias(const JsonObject& config) {
  const std::string bias = config.string_or("bias", "none");
  if (bias != "none" && bias != "all" && bias != "lora_only")
    config.fail("bias", fmt::format("{}: expected none, all or lora_only", quote(bias)));
  return bias != "none";
}

void check_other_keys(const JsonObject& config, const Json& json,
                      std::vector<std::string>& notices) {
  for (const auto& [key, reason] : kRefused) {
    if (const Json* value = config.find(key); value != nullptr && !says_nothing(*value))
      config.fail(key, std::string(reason));
  }
  for (const auto& [key, value] : json.items()) {
    const std::string& name = key;
    const bool known = std::find(kKnown.begin(), kKnown.end(), name) != kKnown.end() ||
                       std::any_of(kRefused.begin(), kRefused.end(),
                                   [&](const auto& row) { return row.first == name; });
    if (!known && !says_nothing(value)) {
      notices.push_back(fmt::format("{}: key {} = {} is not known and was passed over",
                                    printable(config.where()), quote(name), quote(value.dump())));
    }
  }
}

}  // namespace

int64_t AdapterConfiguration::rank(const std::string& key) const {
  return static_cast<int64_t>(rank_pattern.find(key).value_or(static_cast<double>(r)));
}

double AdapterConfiguration::scaling(const std::string& key) const {
  const double scale = alpha_pattern.find(key).value_or(alpha);
  const auto divisor = static_cast<double>(rank(key));
  return scale / (use_rslora ? std::sqrt(divisor) : divisor);
}

AdapterConfiguration read_adapter_configuration(const std::filesystem::path& path) {
  const std::string text = read_text_file(path, kMaxBytes);
  const Json json = parse_json(text, path.string());
  const JsonObject config(json, path.string());
  if (const std::string type = config.string("peft_type"); type != "LORA") {
    config.fail("peft_type", fmt::format("{}: only LORA is supported", quote(type)));
  }
  AdapterConfiguration result;
  result.path = path;
  check_other_keys(config, json, result.notices);
  check_initial_weights(config);
  result.r = config.integer("r", 1, kMaxRank);
  result.alpha = config.number("lora_alpha");
  result.use_rslora = config.boolean_or("use_rslora", false);
  result.fan_in_fan_out = config.boolean_or("fan_in_fan_out", false);
  result.use_dora = config.boolean_or("use_dora", false);
  result.lora_bias = config.boolean_or("lora_bias", false);
  result.biases = read_bias(config);
  result.modules_to_save = read_names(config, "modules_to_save");
  result.target_parameters = read_names(config, "target_parameters");
  result.routes = config.integer_or("lora_nums", 0, 0);
  result.peft_version = config.string_or("peft_version", "");
  const auto document = parse_ordered_json(text, path.string());
  result.alpha_pattern = read_pattern(config, document, "alpha_pattern");
  result.rank_pattern = read_pattern(
      config, document, "rank_pattern", [&](const std::string& expression, double value) {
        if (value >= 1 && value <= static_cast<double>(kMaxRank) && std::trunc(value) == value)
          return;
        config.fail("rank_pattern", fmt::format("{}: expected 1 to {}, found {}", quote(expression),
                                                kMaxRank, value));
      });
  return result;
}

}  // namespace sagesan
