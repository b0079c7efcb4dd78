#include "sagesan/sanitize/plan.h"

#include "sagesan/support/error.h"

namespace sagesan {

std::string_view other_policy_name(OtherPolicy policy) {
  switch (policy) {
    case OtherPolicy::kShrink:
      return "shrink";
    case OtherPolicy::kKeep:
      return "keep";
    case OtherPolicy::kBase:
      return "base";
  }
  SAGESAN_ASSERT(false);
  return "";
}

int64_t Plan::layers_to_run(const ModelConfiguration& model) const {
  if (needs_final_norm(model)) return model.layers;
  int64_t last = -1;
  for (const Site& site : sites) last = std::max(last, site.layer);
  return last + 1;
}

bool Plan::needs_final_norm(const ModelConfiguration& model) const {
  return !sites.empty() && sites.rbegin()->layer >= model.layers;
}

Plan make_plan(const UpdateVector& update_vector, const ModelConfiguration& model,
               OtherPolicy other) {
  const auto parameters = model_parameters(model);
  Plan plan;
  for (const Update& update : update_vector.updates) {
    if (!update.changed) continue;
    if (model.tied_head && update.name == kHeadName) continue;  // written with the embedding
    PlannedTensor tensor{.update = &update};
    if (const auto found = parameters.find(update.name); found != parameters.end()) {
      tensor.parameter = found->second;
      const ParameterKind kind = found->second.kind;
      if (kind == ParameterKind::kLinear || other == OtherPolicy::kShrink) {
        tensor.treatment = Treatment::kSolve;
        if (kind != ParameterKind::kBias) plan.sites.insert(found->second.site);
        if (kind == ParameterKind::kTiedEmbedding)
          plan.sites.insert({model.layers, SiteKind::kHeadInput});
      } else if (other == OtherPolicy::kBase) {
        tensor.treatment = Treatment::kBase;
      }
    }
    plan.tensors.push_back(std::move(tensor));
  }
  return plan;
}

}  // namespace sagesan
