#include "sagesan/activations/runner.h"

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "sagesan/model/parameters.h"
#include "sagesan/support/error.h"
#include "sagesan/support/memory.h"

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

namespace {

/// The moments of one layer while it runs. Those of experts are handed over one after another.
class LayerMoments {
 public:
  LayerMoments(const ModelConfiguration& model, const Checkpoint& checkpoint, at::Device device,
               const TokenBatch& batch, const ObservationPlan& plan, const MomentSink& sink)
      : channels_(model_sites(model)),
        experts_(static_cast<double>(model.experts.count)),
        checkpoint_(checkpoint),
        device_(device),
        tokens_(batch.tokens()),
        plan_(plan),
        sink_(sink) {}

  void add(const Observation& seen) {
    if (seen.site.is_expert() && !seen.trace_only) finish_other_experts(seen.site.expert);
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
  void finish(int64_t layer) {
    for (const Site& site : plan_.sites) {
      if (site.layer == layer && !finished_.contains(site)) hand_over(site);
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

  void finish_other_experts(int64_t expert) {
    std::vector<Site> done;
    for (const auto& [site, moment] : moments_) {
      if (site.is_expert() && site.expert != expert) done.push_back(site);
    }
    for (const Site& site : done) hand_over(site);
  }

  void hand_over(const Site& site) {
    sink_(site, at(site), site.is_expert() ? expert_trace(site) / experts_ : 0);
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
  const MomentSink& sink_;
  std::map<Site, SiteMoment> moments_;
  std::set<Site> finished_;                   ///< of this layer
  std::map<SiteKind, double> expert_traces_;  ///< of this layer's experts together
};

}  // namespace

void observe(const ModelConfiguration& model, const Checkpoint& checkpoint, at::Device device,
             const TokenBatch& batch, const ObservationPlan& plan,
             const std::function<void(int64_t layer)>& entering, const MomentSink& sink) {
  LayerMoments moments(model, checkpoint, device, batch, plan, sink);
  const Observer observer = [&](const Observation& seen) { moments.add(seen); };
  const Site embedding{-1, SiteKind::kEmbedding};
  const Site positions{-1, SiteKind::kPositionEmbedding};
  if (plan.sites.contains(embedding)) sink(embedding, row_counts(batch.ids, model.vocabulary), 0);
  if (plan.sites.contains(positions))
    sink(positions, row_counts(batch.positions(), model.positions), 0);
  const int64_t layers = plan.layers_to_run(model);
  const bool final_norm = plan.needs_final_norm(model);
  if (layers == 0 && !final_norm) return;
  Decoder decoder(model, checkpoint, device);
  Tensor hidden = decoder.embed(batch);
  for (int64_t layer = 0; layer < layers; ++layer) {
    entering(layer);
    decoder.run_layer(layer, hidden, batch, plan.sites, final_norm || layer + 1 < layers, observer);
    moments.finish(layer);
  }
  if (!final_norm) return;
  decoder.run_final_norm(hidden, batch, plan.sites, observer);
  hidden = Tensor();
  moments.finish(model.layer_count());
}

}  // namespace sagesan
