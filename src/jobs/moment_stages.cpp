#include "moment_stages.h"

#include "check_moments.h"
#include "sagesan/support/error.h"

namespace sagesan {

MomentStages::MomentStages(const SanitizeInputs& inputs, const SanitizeOptions& options,
                           const std::set<Site>& sites, const std::filesystem::path& spill)
    : inputs_(inputs), plan_{.sites = sites, .token_cap = options.token_cap} {
  next_ = plan_.sites.begin();
  if (inputs.moments) return;
  run_.emplace(inputs.observed_model(options), inputs.observed_checkpoint(options), inputs.device,
               inputs.retain.batch, plan_, spill);
}

double MomentStages::expert_trace(const Site& site) {
  if (!site.is_expert()) return 0;
  const auto [found, fresh] = expert_traces_.try_emplace({site.layer, site.kind}, 0);
  for (int64_t i = 0; i < inputs_.map.experts && fresh; ++i) {
    const std::string name = Site{site.layer, site.kind, i}.name();
    found->second += std::get<SecondMoment>(inputs_.moments->read(name, at::kCPU)).trace();
  }
  // Divided at the end, as in a run of the model: where moments are sums the same bytes come out.
  return found->second / static_cast<double>(inputs_.map.experts);
}

void MomentStages::run_stage(const MomentSink& sink) {
  SAGESAN_ASSERT(!done());
  if (run_) {
    run_->run_stage(sink);
    return;
  }
  const int64_t layer = next_->layer;
  for (; next_ != plan_.sites.end() && next_->layer == layer; ++next_) {
    const SiteMoment moment = inputs_.moments->read(next_->name(), inputs_.device);
    compute_with_moments([&] { sink(*next_, moment, expert_trace(*next_)); });
  }
}

}  // namespace sagesan
