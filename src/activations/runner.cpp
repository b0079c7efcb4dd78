#include "sagesan/activations/runner.h"

#include <map>

#include "sagesan/support/error.h"
#include "sagesan/support/memory.h"

namespace sagesan {

int64_t ObservationPlan::layers_to_run(const ModelConfiguration& model) const {
  if (needs_final_norm(model)) return model.layers;
  int64_t last = -1;
  for (const Site& site : sites) last = std::max(last, site.layer);
  return last + 1;
}

bool ObservationPlan::needs_final_norm(const ModelConfiguration& model) const {
  return !sites.empty() && sites.rbegin()->layer >= model.layers;
}

void observe(const ModelConfiguration& model, const Checkpoint& checkpoint, at::Device device,
             const TokenBatch& batch, const ObservationPlan& plan,
             const std::function<void(int64_t layer)>& entering, const MomentSink& sink) {
  std::map<Site, SiteMoment> moments;
  const Observer observer = [&](Site site, const Tensor& x, const std::vector<int64_t>& lengths) {
    try {
      if (site.is_norm()) {
        auto& moment = moments.try_emplace(site, DiagonalMoment(x.size(1), device)).first->second;
        std::get<DiagonalMoment>(moment).add(x);
        return;
      }
      const auto found = moments.find(site);
      SiteMoment& moment =
          found != moments.end()
              ? found->second
              : moments.try_emplace(site, SecondMoment(x.size(1), batch.tokens(), device))
                    .first->second;
      std::get<SecondMoment>(moment).add(
          x, plan.token_cap > 0 ? token_weights(x, lengths, plan.token_cap) : Tensor());
    } catch (const Error& error) {
      throw InputError(checkpoint.directory().string(), site.name() + ": " + error.what());
    }
  };
  const auto hand_over = [&](int64_t layer) {
    for (const Site& site : plan.sites) {
      if (site.layer != layer) continue;
      sink(site, moments.at(site));
      moments.erase(site);
    }
    release_free_memory();
  };

  const Site embedding{-1, SiteKind::kEmbedding};
  if (plan.sites.contains(embedding)) sink(embedding, token_counts(batch.ids, model.vocabulary));
  const int64_t layers = plan.layers_to_run(model);
  const bool final_norm = plan.needs_final_norm(model);
  if (layers == 0 && !final_norm) return;
  Decoder decoder(model, checkpoint, device);
  Tensor hidden = decoder.embed(batch);
  for (int64_t layer = 0; layer < layers; ++layer) {
    entering(layer);
    decoder.run_layer(layer, hidden, batch, plan.sites, final_norm || layer + 1 < layers, observer);
    hand_over(layer);
  }
  if (!final_norm) return;
  decoder.run_final_norm(hidden, batch, plan.sites, observer);
  hidden = Tensor();
  hand_over(layers);
}

}  // namespace sagesan
