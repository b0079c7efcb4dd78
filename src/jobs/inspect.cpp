#include "sagesan/jobs/inspect.h"

#include <cmath>
#include <memory>
#include <optional>
#include <utility>

#include "activation_bias.h"
#include "check_moments.h"
#include "pair_model.h"
#include "sagesan/activations/described_model.h"
#include "sagesan/jobs/preflight.h"
#include "sagesan/model/parameters.h"
#include "sagesan/sanitize/rules.h"
#include "sagesan/support/error.h"
#include "unlearned_model.h"

namespace sagesan {
namespace {

using MomentsFiles = std::vector<std::unique_ptr<MomentsFile>>;

/// One unlearned model and what its tensors are. Without moments that is of no importance: empty
/// where it is not known.
struct InspectedModel {
  UnlearnedModel unlearned;
  ModelMap map;
  PairHints hints;
};

/// Everything that is read, opened and checked.
struct Inputs {
  Checkpoint base;
  std::vector<InspectedModel> models;
  MomentsFiles moments;
};

/// The base's configuration; nothing where the moments describe its model, or where there are no
/// moments and its family is not known.
std::optional<ModelConfiguration> read_base_model(const Inputs& inputs) {
  for (const auto& file : inputs.moments) {
    if (!file->origin().model.empty()) return std::nullopt;
  }
  try {
    ModelConfiguration model = read_configuration(inputs.base.path());
    match_parameters(model, inputs.base);
    return model;
  } catch (const InputError&) {
    if (!inputs.moments.empty()) throw;
    return std::nullopt;
  }
}

void read_model(const std::filesystem::path& directory, const Inputs& inputs,
                const std::optional<ModelConfiguration>& base, InspectedModel& model) {
  if (base) {
    PairModel pair = read_pair_model(*base, inputs.base, directory);
    model.map = std::move(pair.map);
    model.hints = std::move(pair.hints);
    return;
  }
  for (const auto& file : inputs.moments) {
    if (file->origin().model.empty()) continue;
    model.map = read_described_model(file->header(), inputs.base);
    model.hints = pair_hints(model.map);
    return;
  }
}

void open(const InspectOptions& options, Inputs& inputs) {
  Preflight preflight;
  const bool base = preflight.check([&] { inputs.base = Checkpoint::open_model(options.base); });
  for (const auto& moments : options.moments) {
    preflight.check(
        [&] { inputs.moments.push_back(std::make_unique<MomentsFile>(moments.second)); });
  }
  std::optional<ModelConfiguration> configuration;
  const bool known = base && inputs.moments.size() == options.moments.size() &&
                     preflight.check([&] { configuration = read_base_model(inputs); });
  for (const auto& named : options.models) {
    preflight.check([&] {
      if (!base) return;
      InspectedModel model{.unlearned = open_unlearned(named.second, inputs.base)};
      if (known) {
        read_model(named.second, inputs, configuration, model);
        const UpdateVector updates =
            pair_tensors(inputs.base, model.unlearned.checkpoint, model.hints);
        check_tied_heads(inputs.base, updates);
        if (!options.moments.empty())
          check_routed_parameters(updates, model.unlearned, model.map.parameters);
      }
      inputs.models.push_back(std::move(model));
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
  for (size_t i = 0; i < updates.size(); ++i) {
    const ModelMap& map = inputs.models[i].map;
    plans.push_back(bias_plan(updates[i], map));
    tensors += static_cast<double>(plans.back().tensors.size());
    for (const auto& file : inputs.moments)
      check_moments(*file, updates[i].base_identity, "base", plans.back().sites, map.parameters);
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
  for (const InspectedModel& model : inputs.models)
    updates.push_back(compare(inputs.base, model.unlearned.checkpoint, progress, model.hints,
                              at::get_num_threads()));
  InspectResult result{.architecture = inputs.models.front().map.architecture,
                       .base_identity = updates.front().base_identity,
                       .unlearned_identity = updates.front().unlearned_identity,
                       .tensors_total = static_cast<int64_t>(updates.front().updates.size())};
  for (const auto& [name, directory] : options.models) result.models.push_back(name);
  list_changes(updates.front(), inputs.models.front().map, progress, result);
  if (!inputs.moments.empty()) measure_moments(options, inputs, updates, progress, result);
  return result;
}

}  // namespace sagesan
