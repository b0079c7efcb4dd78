#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "adapter_output.h"
#include "forget_moments.h"
#include "sagesan/activations/moments.h"
#include "sagesan/checkpoint/writer.h"
#include "sagesan/sanitize/plan.h"
#include "sanitize_inputs.h"
#include "site_rules.h"

namespace sagesan {

/// The long part of one run: takes moments as they come and solves what depends on them.
class SanitizeRun {
 public:
  /// All of them must outlive the run; `adapter` takes what `writer` does not, or is null. Hidden
  /// states are kept in a file in `spill` where it is not empty.
  SanitizeRun(const SanitizeOptions& options, const SanitizeInputs& inputs,
              const UpdateVector& updates, const Plan& plan, CheckpointWriter& writer,
              AdapterOutput* adapter, std::filesystem::path spill, const Progress& progress);

  /// Writes every tensor and fills `tensors` and `sites`.
  void run();

  std::map<std::string, TensorReport> tensors;
  std::map<std::string, SiteReport> sites;
  /// Layer and number of those that no token reached and that keep an update.
  std::set<std::pair<int64_t, int64_t>> unseen_experts;

 private:
  void copy_unchanged();
  void solve_without_moments();
  void solve_with(const Site& site, const SiteMoment& moment, double reference_trace);
  /// Files the report of a tensor that is through.
  void finish(const PlannedTensor& tensor, TensorReport report, const SolveFigures& figures);
  void show_progress() const;
  /// Of what the stage of this layer will be solved with.
  void read_ahead(int64_t layer) const;
  bool is_tied(const Site& embedding) const;
  void solve(const PlannedTensor& tensor, const Rule& rule, const Subspace* subspace);
  void add_site_report(const Site& site, const SiteMoment& moment, const Subspace* subspace);
  void roll_back_channels(const PlannedTensor& tensor, const Channels& channels);
  Filter choose_filter(const PlannedTensor& tensor, const Rule& rule) const;
  void keep(const PlannedTensor& tensor);
  void roll_back(const PlannedTensor& tensor);
  TensorReport start_report(const PlannedTensor& tensor) const;
  TensorSink sink(const Update& update);
  /// Applies a rule, and hands the result to the output.
  SolveFigures apply(const PlannedTensor& tensor, const Rule& rule, const ApplyOptions& options);
  /// How the rule of a tensor is applied, before its filter is known.
  ApplyOptions apply_options(const PlannedTensor& tensor) const;

  const SanitizeOptions& options_;
  const SanitizeInputs& inputs_;
  const UpdateVector& updates_;
  const Plan& plan_;
  CheckpointWriter& writer_;
  AdapterOutput* adapter_;  ///< or null
  std::filesystem::path spill_;
  const Progress& progress_;
  /// Those to be solved by the site whose moment they wait for; biases need none.
  std::map<Site, std::vector<const PlannedTensor*>> readers_;
  std::optional<ForgetMoments> forget_;  ///< where there are forget texts
  Tensor row_energies_;                  ///< of the embedding, once its moment is known
};

}  // namespace sagesan
