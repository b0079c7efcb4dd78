#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sagesan/support/json.h"
#include "sagesan/support/progress.h"
#include "sagesan/text/retain_file.h"

namespace sagesan {

struct InspectOptions {
  std::filesystem::path base;
  /// Name and checkpoint; of the first one the changes are listed.
  std::vector<std::pair<std::string, std::filesystem::path>> models;
  /// Name and moments file: the texts on which the models' damage is measured.
  std::vector<std::pair<std::string, std::filesystem::path>> moments;
};

/// One changed tensor; norms are Frobenius norms, absent where the dtype is none to compute with.
struct ChangedTensor {
  std::string name, kind, dtype;
  std::vector<int64_t> shape;
  std::optional<int64_t> layer;  ///< absent outside the layers
  std::optional<double> update_norm, relative_norm;
};

/// The activation bias trace(D S D^T) / trace(W0 S W0^T) of a tensor (for other kinds than linear
/// modules its counterpart, as in reports), or of several as the ratio of the sums.
struct BiasRow {
  std::string name;        ///< of the tensor or site; "NAME (head)": a tied embedding's as head
  std::string kind, site;  ///< of a tensor; `site` empty: a bias vector's, whose input is 1
  std::optional<int64_t> layer;  ///< absent outside the layers
  double base = 0;               ///< trace(W0 S W0^T)
  std::vector<double> updates;   ///< trace(D S D^T) of each model

  /// Absent where W0 or its input is 0.
  std::optional<double> bias(size_t model) const;
};

/// What the models' updates do to the activations on some texts. Sums go over tensors that any of
/// the models changed; an update that a model lacks is 0.
struct MomentsBias {
  std::string name;
  std::vector<RetainFileReport> files;
  int64_t tokens = 0;
  std::vector<BiasRow> tensors;
  std::vector<BiasRow> sites;   ///< all that read there
  std::vector<BiasRow> layers;  ///< the linear modules of each

  /// Mean over the linear modules, as in the summary of `sanitize`; absent where there are none.
  std::optional<double> linear_mean(size_t model) const;
};

struct InspectResult {
  std::string architecture;
  std::string base_identity, unlearned_identity;
  int64_t tensors_total = 0;
  std::vector<ChangedTensor> changed;
  std::vector<std::string> models;  ///< names
  std::vector<MomentsBias> moments;

  Json to_json() const;
};

/// What unlearning changed. Reads the checkpoints; runs no model. Unlike `sanitize` it takes pairs
/// of families that cannot be run, and identical ones. With moments it measures the damage that
/// each model does on them; then the family must be known, or described by the first moments file
/// that describes one. Throws `InputError`, also for moments of another base.
InspectResult inspect(const InspectOptions& options, const Progress& progress);

}  // namespace sagesan
