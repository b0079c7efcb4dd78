#include "sagesan/activations/runner.h"

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "sagesan/model/parameters.h"
#include "sagesan/support/error.h"
#include "sagesan/support/huge_pages.h"
#include "sagesan/support/memory.h"
#include "sagesan/support/stage_clock.h"

namespace sagesan {

int64_t ObservationPlan::layers_to_run(const ModelConfiguration& model) const {
  if (needs_final_norm(model)) return model.layer_count();
  int64_t last = -1;
  for (const Site& site : sites) last = std::max(last, site.layer);
  return last + 1;
}

bool ObservationPlan::needs_final_norm(const ModelConfiguration& model) const {
  return !sites.empty() && sites.rbegin()->layer >= model.layer_count();
}

/// The moments of one layer while it runs. Those of experts are handed over one after another.
class ObservationRun::Moments {
 public:
  Moments(const ModelConfiguration& model, const Checkpoint& checkpoint, at::Device device,
          const TokenBatch& batch, const ObservationPlan& plan)
      : channels_(model_sites(model)),
        experts_(static_cast<double>(model.experts.count)),
        checkpoint_(checkpoint),
        device_(device),
        tokens_(batch.tokens()),
        plan_(plan) {}

  void add(const Observation& seen, const MomentSink& sink) {
    const StageClock clock("moments");
    if (seen.site.is_expert() && !seen.trace_only) finish_other_experts(seen.site.expert, sink);
    try {
      Tensor weights = seen.weights;
      if (plan_.token_cap > 0 && !seen.site.is_diagonal()) {
        const Tensor cap = token_weights(seen.x, seen.lengths, plan_.token_cap);
        weights = weights.defined() ? weights * cap : cap;
      }
      if (seen.trace_only) {
        expert_trace(seen.site) += weighted_trace(seen.x, weights);
        return;
      }
      SiteMoment& moment = at(seen.site);
      if (auto* diagonal = std::get_if<DiagonalMoment>(&moment)) {
        diagonal->add(seen.x);
      } else {
        std::get<SecondMoment>(moment).add(seen.x, weights);
      }
    } catch (const Error& error) {
      throw InputError(checkpoint_.path().string(), seen.site.name() + ": " + error.what());
    }
  }

  /// Hands over what is left of `layer`. An expert that saw no token has an empty moment.
  void finish(int64_t layer, const MomentSink& sink) {
    release_free_memory();  // what running the layer took: moments and matrices do not fit into it
    for (const Site& site : plan_.sites) {
      if (site.layer == layer && !finished_.contains(site)) hand_over(site, sink);
    }
    finished_.clear();
    expert_traces_.clear();
    release_free_memory();
  }

 private:
  static double weighted_trace(const Tensor& x, const Tensor& weights) {
    return x.to(at::kDouble).pow(2).sum(1).dot(weights).item<double>();
  }

  double& expert_trace(const Site& site) { return expert_traces_[site.kind]; }

  void finish_other_experts(int64_t expert, const MomentSink& sink) {
    std::vector<Site> done;
    for (const auto& [site, moment] : moments_) {
      if (site.is_expert() && site.expert != expert) done.push_back(site);
    }
    for (const Site& site : done) hand_over(site, sink);
  }

  void hand_over(const Site& site, const MomentSink& sink) {
    const SiteMoment& moment = at(site);
    const auto* second = std::get_if<SecondMoment>(&moment);
    if (second != nullptr && second->bytes() >= kLeastHugePages) release_all_free_memory();
    sink(site, moment, site.is_expert() ? expert_trace(site) / experts_ : 0);
    moments_.erase(site);
    finished_.insert(site);
  }

  /// The moment of a site, a new one where it has none yet.
  SiteMoment& at(const Site& site) {
    const auto found = moments_.find(site);
    if (found != moments_.end()) return found->second;
    const int64_t channels = channels_.at(site);
    if (site.is_norm())
      return moments_.try_emplace(site, DiagonalMoment(channels, device_)).first->second;
    // How many tokens an expert will see is not known: rows, until they are too many.
    const int64_t expected = site.is_expert() ? std::min(tokens_, channels - 1) : tokens_;
    return moments_.try_emplace(site, SecondMoment(channels, expected, device_)).first->second;
  }

  const std::map<Site, int64_t> channels_;
  double experts_;  ///< of a layer
  const Checkpoint& checkpoint_;
  at::Device device_;
  int64_t tokens_;
  const ObservationPlan& plan_;
  std::map<Site, SiteMoment> moments_;
  std::set<Site> finished_;                   ///< of this layer
  std::map<SiteKind, double> expert_traces_;  ///< of this layer's experts together
};

ObservationRun::ObservationRun(const ModelConfiguration& model, const Checkpoint& checkpoint,
                               at::Device device, const TokenBatch& batch,
                               const ObservationPlan& plan, std::filesystem::path spill)
    : model_(model),
      batch_(batch),
      plan_(plan),
      layers_(plan.layers_to_run(model)),
      end_(layers_ + (plan.needs_final_norm(model) ? 1 : 0)),
      decoder_(model, checkpoint, device),
      spill_(std::move(spill)),
      moments_(std::make_unique<Moments>(model, checkpoint, device, batch, plan)) {}

ObservationRun::~ObservationRun() = default;

void ObservationRun::run_stage(const MomentSink& sink) {
  SAGESAN_ASSERT(!done());
  const StageClock clock("forward");
  const Observer observer = [&](const Observation& seen) { moments_->add(seen, sink); };
  const int64_t stage = stage_++;
  if (stage < 0) {
    const Site embedding{-1, SiteKind::kEmbedding};
    const Site positions{-1, SiteKind::kPositionEmbedding};
    if (plan_.sites.contains(embedding))
      sink(embedding, row_counts(batch_.ids, model_.vocabulary), 0);
    if (plan_.sites.contains(positions))
      sink(positions, row_counts(batch_.positions(), model_.positions), 0);
    if (!done()) {
      hidden_ = spill_.empty() ? HiddenStates(decoder_.embed(batch_))
                               : decoder_.embed_to_file(batch_, spill_);
    }
  } else if (stage < layers_) {
    decoder_.run_layer(stage, hidden_, batch_, plan_.sites, !done(), observer);
    moments_->finish(stage, sink);
  } else {
    decoder_.run_final_norm(hidden_, batch_, plan_.sites, observer);
    hidden_ = HiddenStates();
    moments_->finish(stage, sink);
  }
}

void observe(const ModelConfiguration& model, const Checkpoint& checkpoint, at::Device device,
             const TokenBatch& batch, const ObservationPlan& plan,
             const std::function<void(int64_t layer)>& entering, const MomentSink& sink) {
  ObservationRun run(model, checkpoint, device, batch, plan);
  while (!run.done()) {
    if (run.stage() >= 0 && run.stage() < model.layer_count()) entering(run.stage());
    run.run_stage(sink);
  }
}

}  // namespace sagesan
