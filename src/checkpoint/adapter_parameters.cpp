#include "adapter_parameters.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <string_view>

#include "expert_name.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

/// Of one module: all their orders are tried.
constexpr size_t kMostParameters = 6;

/// The weights of expert `index`; fewer than the fused parameter's where the base lacks one.
std::vector<StoredTensor> expert(const std::string& module, int64_t index,
                                 const FusedParameter& fused, const CanonicalNames& base) {
  std::vector<StoredTensor> result;
  for (const std::string_view part : fused.modules) {
    const auto found = base.find(fmt::format("{}{}.{}.weight", module, index, part));
    if (found != base.end()) result.push_back(found->second.front());
  }
  return result;
}

/// A fused parameter whose experts stand one by one; without parts where none do.
TargetedParameter single_experts(const std::string& module, const FusedParameter& fused,
                                 const CanonicalNames& base) {
  const size_t count = fused.modules.size();
  TargetedParameter result{.name = std::string(fused.name), .parts_per_expert = count};
  int64_t experts = 0;
  for (auto parts = expert(module, 0, fused, base); parts.size() == count;
       parts = expert(module, experts, fused, base)) {
    result.parts.insert(result.parts.end(), parts.begin(), parts.end());
    ++experts;
  }
  if (experts == 0) return {};
  int64_t rows = 0;
  for (size_t i = 0; i < result.parts.size(); ++i) {
    const auto& shape = result.parts[i].info->shape;
    const auto& first = result.parts[i % count].info->shape;
    if (shape.size() != 2 || shape != first || shape[1] != result.parts[0].info->shape[1]) {
      throw InputError(result.parts[i].where(),
                       fmt::format("shape {}: the experts' shapes differ", shape_text(shape)));
    }
    if (i < count) rows += shape[0];
  }
  result.shape = {experts, rows, result.parts[0].info->shape[1]};
  return result;
}

bool fits(const AdapterModule& module, const TargetedParameter& parameter, int64_t rank) {
  const auto& shape = parameter.shape;
  if (shape.size() != 2 && shape.size() != 3) return false;
  const int64_t experts = shape.size() == 3 ? shape[0] : 1;
  const int64_t rows = shape[shape.size() - 2];
  const int64_t in = module.a.info->shape[1];
  const int64_t out = module.first_b().info->shape[0];
  return module.a.info->shape[0] % rank == 0 && module.a.info->shape[0] / rank == experts &&
         ((in == shape.back() && out == rows) || (in == rows && out == shape.back()));
}

}  // namespace

bool is_targeted(const Adapter& adapter, const std::string& name) {
  const auto& targets = adapter.configuration().target_parameters;
  return std::any_of(targets.begin(), targets.end(), [&](const std::string& target) {
    return name == target || name.ends_with("." + target);
  });
}

std::vector<TargetedParameter> targeted_parameters(const Adapter& adapter, const std::string& key,
                                                   const CanonicalNames& base) {
  std::vector<TargetedParameter> result;
  const std::string prefix = canonical_module(key + ".");
  for (auto place = base.lower_bound(prefix);
       place != base.end() && place->first.starts_with(prefix); ++place) {
    const std::string name = place->first.substr(prefix.size());
    if (name.find('.') != std::string::npos ||
        !is_targeted(adapter, fmt::format("{}.{}", key, name)))
      continue;
    if (place->second.size() > 1) {
      throw InputError(place->second[1].where(),
                       fmt::format("stands beside {}: two names of one parameter",
                                   quote(place->second[0].info->name)));
    }
    result.push_back({name, place->second.front().info->shape, {place->second.front()}, 0});
  }
  for (const FusedParameter& fused : fused_parameters()) {
    if (!is_targeted(adapter, fmt::format("{}.{}", key, fused.name)) ||
        base.contains(fmt::format("{}{}", prefix, fused.name)))
      continue;
    auto found = single_experts(prefix, fused, base);
    if (!found.parts.empty()) result.push_back(std::move(found));
  }
  return result;
}

std::vector<size_t> assign_parameters(const Adapter& adapter, const std::string& key,
                                      const std::vector<const AdapterModule*>& modules,
                                      const std::vector<TargetedParameter>& parameters,
                                      const std::filesystem::path& base) {
  const AdapterModule& outer = *modules.front();
  if (parameters.size() < modules.size() || parameters.size() > kMostParameters) {
    throw InputError(outer.a.where(),
                     fmt::format("module {} is adapted {} times, but target_parameters names {} "
                                 "parameters of it in the base {}",
                                 quote(key), modules.size(), parameters.size(), base.string()));
  }
  std::vector<int64_t> ranks;
  ranks.reserve(parameters.size());
  for (const TargetedParameter& parameter : parameters)
    ranks.push_back(adapter.configuration().rank(fmt::format("{}.{}", key, parameter.name)));
  std::vector<size_t> order(parameters.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::vector<size_t> result;
  do {
    bool all = true;
    for (size_t i = 0; i < modules.size(); ++i)
      all = all && fits(*modules[i], parameters[order[i]], ranks[order[i]]);
    const std::vector<size_t> head(order.begin(),
                                   order.begin() + static_cast<std::ptrdiff_t>(modules.size()));
    if (!all || head == result) continue;
    if (!result.empty()) {
      throw InputError(outer.a.where(),
                       fmt::format("the shapes in the base {} do not tell which parameter of {} it "
                                   "adapts",
                                   base.string(), quote(key)));
    }
    result = head;
  } while (std::next_permutation(order.begin(), order.end()));
  if (result.empty()) {
    throw InputError(
        outer.a.where(),
        fmt::format("shape {} with lora_B {} does not fit {} of the base {}, which is {}, "
                    "at rank {}",
                    shape_text(outer.a.info->shape), shape_text(outer.first_b().info->shape),
                    quote(fmt::format("{}.{}", key, parameters[0].name)), base.string(),
                    shape_text(parameters[0].shape), ranks[0]));
  }
  return result;
}

}  // namespace sagesan
