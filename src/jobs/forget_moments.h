#pragma once

#include <map>

#include "sagesan/activations/runner.h"
#include "sanitize_inputs.h"
#include "site_rules.h"

namespace sagesan {

/// The second moments of the forget texts, for forget-aware solving: their run goes along with
/// whatever asks for the sites in the order of the computation. One layer's moments are in memory
/// at a time (of all its experts).
class ForgetMoments {
 public:
  /// Of the `sites` at which linear modules read. All of them must outlive this.
  ForgetMoments(const SanitizeInputs& inputs, const SanitizeOptions& options,
                const std::set<Site>& sites);

  /// Runs the texts up to `site` where they are not there yet. Its layer must not lie before that
  /// of the last one asked for.
  ForgetMoment at(const Site& site);

 private:
  struct Entry {
    SecondMoment moment;
    double reference_trace;
  };
  ObservationPlan plan_;
  ObservationRun run_;
  std::map<Site, Entry> layer_;
};

}  // namespace sagesan
