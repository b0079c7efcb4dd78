#include "sagesan/sanitize/plan.h"

#include <fmt/format.h>

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

std::string PlannedTensor::name() const {
  return expert ? fmt::format("{}[{}]", update->name, *expert) : update->name;
}

std::vector<int64_t> PlannedTensor::shape() const {
  const std::vector<int64_t>& whole = update->unlearned.info->shape;
  return expert ? std::vector{whole[1], whole[2]} : whole;
}

namespace {

/// What must be observed to solve `tensor`.
void add_sites(const PlannedTensor& tensor, int64_t experts, std::set<Site>& sites) {
  const Parameter& parameter = *tensor.parameter;
  if (parameter.kind == ParameterKind::kBias) return;
  sites.insert(tensor.site());
  if (parameter.head) sites.insert(*parameter.head);
  // Energies are relative to the mean over the layer's experts, so all of them are needed.
  if (!parameter.site.is_expert()) return;
  for (int64_t i = 0; i < experts; ++i) sites.insert(parameter.expert_site(i));
}

/// A bias has one constant channel: nothing for a rollback to choose among.
bool has_form(Method method, ParameterKind kind) {
  return method != Method::kRollback || kind != ParameterKind::kBias;
}

}  // namespace

Plan make_plan(const UpdateVector& update_vector, const ModelMap& model, Method method,
               OtherPolicy other, const NameFilter& filter) {
  Plan plan;
  for (const Update& update : update_vector.updates) {
    if (!update.changed) continue;
    PlannedTensor tensor{.update = &update};
    if (const auto found = model.parameters.find(update.name); found != model.parameters.end()) {
      tensor.parameter = found->second;
      const ParameterKind kind = found->second.kind;
      if (!filter.selects(update.name)) {
        tensor.treatment = Treatment::kKeep;
      } else if (kind == ParameterKind::kLinear ||
                 (other == OtherPolicy::kShrink && has_form(method, kind))) {
        tensor.treatment = Treatment::kSolve;
        add_sites(tensor, model.experts, plan.sites);
      } else if (other == OtherPolicy::kBase) {
        tensor.treatment = Treatment::kBase;
      }
    }
    const bool solved = tensor.treatment == Treatment::kSolve;
    const int64_t experts = solved ? tensor.parameter->experts : 0;
    for (int64_t i = 0; i < experts; ++i) {
      tensor.expert = i;
      plan.tensors.push_back(tensor);
    }
    if (experts == 0) plan.tensors.push_back(std::move(tensor));
  }
  return plan;
}

}  // namespace sagesan
