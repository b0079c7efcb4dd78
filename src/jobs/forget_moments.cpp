#include "forget_moments.h"

#include "sagesan/support/error.h"

namespace sagesan {
namespace {

/// A tied head is no linear module: its tensor is the embedding, which is solved in its own form.
ObservationPlan linear_sites(const std::set<Site>& sites, const SanitizeInputs& inputs,
                             double token_cap) {
  ObservationPlan plan{.token_cap = token_cap};
  for (const Site& site : sites) {
    if (!site.is_diagonal() && !inputs.map.is_tied_head(site)) plan.sites.insert(site);
  }
  return plan;
}

}  // namespace

ForgetMoments::ForgetMoments(const SanitizeInputs& inputs, const SanitizeOptions& options,
                             const std::set<Site>& sites)
    : plan_(linear_sites(sites, inputs, options.token_cap)),
      run_(inputs.observed_model(options), inputs.observed_checkpoint(options), inputs.device,
           inputs.forget.batch, plan_) {}

ForgetMoment ForgetMoments::at(const Site& site) {
  if (!plan_.sites.contains(site)) return {};
  while (!run_.done() && run_.stage() <= site.layer) {
    layer_.clear();
    run_.run_stage([&](const Site& seen, const SiteMoment& moment, double reference_trace) {
      layer_.try_emplace(seen, Entry{std::get<SecondMoment>(moment), reference_trace});
    });
  }
  const Entry& entry = layer_.at(site);
  return {&entry.moment, entry.reference_trace};
}

}  // namespace sagesan
