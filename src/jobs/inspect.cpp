#include "sagesan/jobs/inspect.h"

#include <cmath>
#include <memory>

#include "activation_bias.h"
#include "check_moments.h"
#include "sagesan/activations/described_model.h"
#include "sagesan/jobs/preflight.h"
#include "sagesan/model/parameters.h"
#include "sagesan/sanitize/rules.h"
#include "sagesan/support/error.h"
#include "unlearned_model.h"

namespace sagesan {
namespace {

using MomentsFiles = std::vector<std::unique_ptr<MomentsFile>>;

ModelMap read_model(const Checkpoint& checkpoint) {
  ModelConfiguration model = read_configuration(checkpoint.path());
  match_parameters(model, checkpoint);
  return map_model(model);
}

/// The tensors' meaning. Without moments it is of no importance: empty where it is not known.
ModelMap find_model(const Checkpoint& base, const MomentsFiles& moments) {
  for (const auto& file : moments) {
    if (!file->origin().model.empty()) return read_described_model(*file, base);
  }
  if (!moments.empty()) return read_model(base);
  try {
    return read_model(base);
  } catch (const InputError&) {
    return {};
  }
}

/// Everything that is read, opened and checked.
struct Inputs {
  Checkpoint base;
  std::vector<UnlearnedModel> models;
  MomentsFiles moments;
  ModelMap map;
};

void open(const InspectOptions& options, Inputs& inputs) {
  Preflight preflight;
  const bool base = preflight.check([&] { inputs.base = Checkpoint::open(options.base); });
  for (const auto& moments : options.moments) {
    preflight.check(
        [&] { inputs.moments.push_back(std::make_unique<MomentsFile>(moments.second)); });
  }
  const bool known = base && inputs.moments.size() == options.moments.size() &&
                     preflight.check([&] { inputs.map = find_model(inputs.base, inputs.moments); });
  for (const auto& named : options.models) {
    preflight.check([&] {
      if (!base) return;
      inputs.models.push_back(open_unlearned(named.second, inputs.base));
      if (!known) return;
      const UnlearnedModel& model = inputs.models.back();
      const UpdateVector updates =
          pair_tensors(inputs.base, model.checkpoint, pair_hints(inputs.map));
      if (!options.moments.empty()) check_routed_parameters(updates, model, inputs.map.parameters);
    });
  }
  preflight.finish();
}

void list_changes(const UpdateVector& updates, const ModelMap& model, const Progress& progress,
                  InspectResult& result) {
  Rule rule = keep_rule();
  rule.measures.emplace_back([](const Tensor& m, int64_t) { return squared_norm(m); });
  double done = 0;
  for (const Update& update : updates.updates) {
    if (!update.changed) continue;
    ChangedTensor row{.name = update.name,
                      .kind = "unknown",
                      .dtype = std::string(dtype_name(update.unlearned.info->dtype)),
                      .shape = update.unlearned.info->shape};
    if (const auto found = model.parameters.find(update.name); found != model.parameters.end()) {
      row.kind = parameter_kind_name(found->second.kind);
      row.layer = layer_of(found->second.site);
    }
    if (is_computable(update.base.info->dtype) && is_computable(update.unlearned.info->dtype)) {
      const SolveFigures figures = apply_rule(update, rule, {}, nullptr);
      row.update_norm = std::sqrt(figures.squared_norm_before);
      if (figures.responses[0].base > 0) {
        row.relative_norm = std::sqrt(figures.squared_norm_before / figures.responses[0].base);
      }
    }
    result.changed.push_back(std::move(row));
    if (progress) progress("measure", ++done, static_cast<double>(updates.changed_count()));
  }
}

void measure_moments(const InspectOptions& options, const Inputs& inputs,
                     const std::vector<UpdateVector>& updates, const Progress& progress,
                     InspectResult& result) {
  std::vector<Plan> plans;
  double tensors = 0;
  for (const UpdateVector& each : updates) {
    plans.push_back(bias_plan(each, inputs.map));
    tensors += static_cast<double>(plans.back().tensors.size());
    for (const auto& file : inputs.moments)
      check_moments(*file, each.base_identity, "base", plans.back().sites, inputs.map.parameters);
  }
  double done = 0;
  const auto advance = [&] {
    const double all = tensors * static_cast<double>(inputs.moments.size());
    if (progress) progress("measure bias", std::min(++done, all), all);
  };
  for (size_t i = 0; i < inputs.moments.size(); ++i) {
    result.moments.push_back(
        measure_bias(options.moments[i].first, *inputs.moments[i], plans, advance));
  }
}

}  // namespace

InspectResult inspect(const InspectOptions& options, const Progress& progress) {
  Inputs inputs;
  open(options, inputs);
  std::vector<UpdateVector> updates;
  for (const UnlearnedModel& model : inputs.models)
    updates.push_back(compare(inputs.base, model.checkpoint, progress, pair_hints(inputs.map)));
  InspectResult result{.architecture = inputs.map.architecture,
                       .base_identity = updates.front().base_identity,
                       .unlearned_identity = updates.front().unlearned_identity,
                       .tensors_total = static_cast<int64_t>(updates.front().updates.size())};
  for (const auto& [name, directory] : options.models) result.models.push_back(name);
  list_changes(updates.front(), inputs.map, progress, result);
  if (!inputs.moments.empty()) measure_moments(options, inputs, updates, progress, result);
  return result;
}

}  // namespace sagesan
