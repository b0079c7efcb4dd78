#include "adapter_orientation.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string_view>

#include "sagesan/support/error.h"
#include "sagesan/support/json.h"

namespace sagesan {
namespace {

/// Whose matrices in the layers are Conv1D, `[in, out]` (transformers: pytorch_utils.py `Conv1D`).
constexpr std::array<std::string_view, 5> kConv1D = {"gpt2", "openai-gpt", "imagegpt",
                                                     "decision_transformer", "clvp"};
/// Whose experts are `[experts, in, out]` (transformers: `use_experts_implementation(is_transposed=
/// True)`).
constexpr std::array<std::string_view, 2> kTransposedExperts = {"gpt_oss", "openai_privacy_filter"};

template <size_t N>
bool contains(const std::array<std::string_view, N>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// "0.21.2" as 0, 21; zeros for what is no version.
std::pair<int, int> version(const std::string& text) {
  int major = 0;
  int minor = 0;
  if (std::sscanf(text.c_str(), "%d.%d", &major, &minor) != 2) return {0, 0};
  return {major, minor};
}

/// A square matrix: what its module is.
bool is_conv1d(const Adapter& adapter, const Json& config) {
  const auto type = config.find("model_type");
  const bool told = type != config.end() && type->is_string() && !config.contains("auto_map");
  if (!told) return adapter.configuration().fan_in_fan_out;
  return contains(kConv1D, type->get<std::string>());
}

/// Square matrices of experts. Before 0.21 peft took each of them for `[in, out]` or turned them
/// the other way round.
bool are_transposed(const Adapter& adapter, const AdapterModule& module, const Json& config,
                    const AdapterTarget& target) {
  const auto type = config.find("model_type");
  if (version(adapter.configuration().peft_version) < std::pair(0, 21) || type == config.end() ||
      !type->is_string()) {
    throw InputError(module.a.where(),
                     fmt::format("{} has square matrices {}: only for adapters of peft 0.21 and "
                                 "later, and with the base's model_type, can be told which way "
                                 "round they lie; merge it with peft",
                                 quote(target.name), shape_text(target.shape)));
  }
  return contains(kTransposedExperts, type->get<std::string>());
}

}  // namespace

bool runs_along_rows(const Adapter& adapter, const AdapterModule& module,
                     const AdapterTarget& target, const std::filesystem::path& base) {
  const int64_t in = module.a.info->shape[1];
  const int64_t out = module.first_b().info->shape[0];
  const int64_t rows = target.shape[target.shape.size() - 2];
  const int64_t columns = target.shape.back();
  const bool matrix = target.shape.size() == 2;
  const bool transposed = in == rows && out == columns && !(matrix && target.parameter);
  const bool plain = in == columns && out == rows && !module.embedding;
  if (!plain && !transposed) {
    throw InputError(
        module.a.where(),
        fmt::format("shape {} with lora_B {} does not fit {} of the base {}, which is {}",
                    shape_text(module.a.info->shape), shape_text(module.first_b().info->shape),
                    quote(target.name), base.string(), shape_text(target.shape)));
  }
  if (plain != transposed) return transposed;
  const Json config = read_optional_json_file(base / "config.json");
  if (!config.is_object())
    throw InputError((base / "config.json").string(), "expected a JSON object");
  return matrix ? is_conv1d(adapter, config) : are_transposed(adapter, module, config, target);
}

}  // namespace sagesan
