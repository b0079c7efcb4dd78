#include "sagesan/jobs/inspect.h"

#include <cmath>

#include "sagesan/jobs/preflight.h"
#include "sagesan/model/parameters.h"
#include "sagesan/sanitize/rules.h"
#include "unlearned_model.h"

namespace sagesan {
namespace {

/// The tensors' meaning where the family is known; empty where it is not.
ModelMap known_model(const Checkpoint& checkpoint) {
  try {
    ModelConfiguration model = read_configuration(checkpoint.path());
    match_parameters(model, checkpoint);
    return map_model(model);
  } catch (const InputError&) {
    return {};
  }
}

}  // namespace

InspectResult inspect(const std::filesystem::path& base_directory,
                      const std::filesystem::path& unlearned_directory, const Progress& progress) {
  Checkpoint base;
  UnlearnedModel source;
  ModelMap model;
  Preflight preflight;
  const bool opened = preflight.check([&] { base = Checkpoint::open(base_directory); });
  if (opened && preflight.check([&] { source = open_unlearned(unlearned_directory, base); })) {
    model = known_model(base);
    preflight.check([&] { pair_tensors(base, source.checkpoint, pair_hints(model)); });
  }
  preflight.finish();

  InspectResult result;
  result.architecture = model.architecture;
  const UpdateVector updates = compare(base, source.checkpoint, progress, pair_hints(model));
  result.base_identity = updates.base_identity;
  result.unlearned_identity = updates.unlearned_identity;
  result.tensors_total = static_cast<int64_t>(updates.updates.size());
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
      const Site site = found->second.site;
      if (site.layer >= 0 && site < Site{site.layer, SiteKind::kFinalNorm}) row.layer = site.layer;
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
  return result;
}

}  // namespace sagesan
