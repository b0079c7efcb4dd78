#include "sagesan/activations/runner.h"

#include <algorithm>
#include <map>

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

/// The moments of one layer while it runs.
class LayerMoments {
 public:
  LayerMoments(const Checkpoint& checkpoint, at::Device device, int64_t tokens, double token_cap)
      : checkpoint_(checkpoint), device_(device), tokens_(tokens), token_cap_(token_cap) {}

  void add(const Observation& seen) {
    try {
      SiteMoment& moment = at(seen.site, seen.x.size(-1));
      if (auto* diagonal = std::get_if<DiagonalMoment>(&moment)) {
        diagonal->add(seen.x);
        return;
      }
      Tensor weights = seen.weights;
      if (token_cap_ > 0) {
        const Tensor cap = token_weights(seen.x, seen.lengths, token_cap_);
        weights = weights.defined() ? weights * cap : cap;
      }
      std::get<SecondMoment>(moment).add(seen.x, weights);
    } catch (const Error& error) {
      throw InputError(checkpoint_.directory().string(), seen.site.name() + ": " + error.what());
    }
  }

  /// Hands the moments of `sites` over and forgets them. An expert that saw no token has an empty
  /// one.
  void hand_over(const std::map<Site, int64_t>& channels, const MomentSink& sink) {
    std::map<std::pair<int64_t, SiteKind>, std::pair<double, int64_t>> experts;
    for (const auto& [site, size] : channels) {
      if (!site.is_expert()) continue;
      auto& [trace, count] = experts[{site.layer, site.kind}];
      trace += std::get<SecondMoment>(at(site, size)).trace();
      ++count;
    }
    for (const auto& [site, size] : channels) {
      double reference = 0;
      if (site.is_expert()) {
        const auto& [trace, count] = experts.at({site.layer, site.kind});
        reference = trace / static_cast<double>(count);
      }
      sink(site, at(site, size), reference);
      moments_.erase(site);
    }
    release_free_memory();
  }

 private:
  /// The moment of a site, a new one where it has none yet.
  SiteMoment& at(const Site& site, int64_t channels) {
    const auto found = moments_.find(site);
    if (found != moments_.end()) return found->second;
    if (site.is_norm())
      return moments_.try_emplace(site, DiagonalMoment(channels, device_)).first->second;
    // How many tokens an expert will see is not known: rows, until they are too many.
    const int64_t expected = site.is_expert() ? std::min(tokens_, channels - 1) : tokens_;
    return moments_.try_emplace(site, SecondMoment(channels, expected, device_)).first->second;
  }

  const Checkpoint& checkpoint_;
  at::Device device_;
  int64_t tokens_;
  double token_cap_;
  std::map<Site, SiteMoment> moments_;
};

}  // namespace

void observe(const ModelConfiguration& model, const Checkpoint& checkpoint, at::Device device,
             const TokenBatch& batch, const ObservationPlan& plan,
             const std::function<void(int64_t layer)>& entering, const MomentSink& sink) {
  LayerMoments moments(checkpoint, device, batch.tokens(), plan.token_cap);
  const Observer observer = [&](const Observation& seen) { moments.add(seen); };
  const std::map<Site, int64_t> channels = model_sites(model);
  const auto hand_over = [&](int64_t layer) {
    std::map<Site, int64_t> wanted;
    for (const Site& site : plan.sites) {
      if (site.layer == layer) wanted[site] = channels.at(site);
    }
    moments.hand_over(wanted, sink);
  };

  const Site embedding{-1, SiteKind::kEmbedding};
  const Site positions{-1, SiteKind::kPositionEmbedding};
  const int64_t layers = plan.layers_to_run(model);
  const bool final_norm = plan.needs_final_norm(model);
  Decoder decoder(model, checkpoint, device);
  Tensor hidden;
  if (layers > 0 || final_norm || plan.sites.contains(positions)) hidden = decoder.embed(batch);
  if (plan.sites.contains(embedding)) sink(embedding, row_counts(batch.ids, model.vocabulary), 0);
  if (plan.sites.contains(positions))
    sink(positions, row_counts(batch.positions(), model.positions), 0);
  if (layers == 0 && !final_norm) return;
  for (int64_t layer = 0; layer < layers; ++layer) {
    entering(layer);
    decoder.run_layer(layer, hidden, batch, plan.sites, final_norm || layer + 1 < layers, observer);
    hand_over(layer);
  }
  if (!final_norm) return;
  decoder.run_final_norm(hidden, batch, plan.sites, observer);
  hidden = Tensor();
  hand_over(model.layer_count());
}

}  // namespace sagesan
