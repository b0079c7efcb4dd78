#include "sagesan/sanitize/plan.h"

#include "sagesan/support/error.h"

namespace sagesan {

std::string_view treatment_name(Treatment treatment) {
  switch (treatment) {
    case Treatment::kSolve:
      return "solved";
    case Treatment::kKeep:
      return "kept";
    case Treatment::kBase:
      return "base";
  }
  SAGESAN_ASSERT(false);
  return "";
}

Plan make_plan(const UpdateVector& update_vector, const ModelConfiguration& model,
               OtherPolicy other, const NameFilter& filter) {
  const auto parameters = model_parameters(model);
  Plan plan;
  for (const Update& update : update_vector.updates) {
    if (!update.changed) continue;
    if (model.tied_head && update.name == kHeadName) continue;  // written with the embedding
    PlannedTensor tensor{.update = &update};
    if (const auto found = parameters.find(update.name); found != parameters.end()) {
      tensor.parameter = found->second;
      const ParameterKind kind = found->second.kind;
      if (!filter.selects(update.name)) {
        tensor.treatment = Treatment::kKeep;
      } else if (kind == ParameterKind::kLinear || other == OtherPolicy::kShrink) {
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
