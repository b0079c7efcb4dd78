#pragma once

#include <map>
#include <optional>
#include <set>

#include "sagesan/activations/runner.h"
#include "sanitize_inputs.h"

namespace sagesan {

/// The moments of the retain texts, stage by stage in the order of the computation: of a run of the
/// model, or from the moments file that was collected for it.
class MomentStages {
 public:
  /// The first three must outlive this; `spill` as in `ObservationRun`.
  MomentStages(const SanitizeInputs& inputs, const SanitizeOptions& options,
               const std::set<Site>& sites, const std::filesystem::path& spill = {});

  /// The layer of the next stage: -1 for embeddings, the number of layers for what comes last.
  int64_t stage() const { return run_ ? run_->stage() : next_->layer; }
  bool done() const { return run_ ? run_->done() : next_ == plan_.sites.end(); }
  /// Hands the stage's moments to `sink`. Throws `InputError` for what is not finite, and what
  /// `sink` throws: of a moments file as bad input, for a stranger's numbers are no bug of ours.
  void run_stage(const MomentSink& sink);

 private:
  double expert_trace(const Site& site);

  const SanitizeInputs& inputs_;
  ObservationPlan plan_;
  std::optional<ObservationRun> run_;  ///< where there is no moments file
  std::set<Site>::const_iterator next_;
  std::map<std::pair<int64_t, SiteKind>, double> expert_traces_;  ///< sums over a layer's experts
};

}  // namespace sagesan
