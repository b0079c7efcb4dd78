#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sagesan/support/json.h"
#include "sagesan/support/progress.h"

namespace sagesan {

/// One changed tensor; norms are Frobenius norms, absent where the dtype is none to compute with.
struct ChangedTensor {
  std::string name, kind, dtype;
  std::vector<int64_t> shape;
  std::optional<int64_t> layer;  ///< absent outside the layers
  std::optional<double> update_norm, relative_norm;
};

struct InspectResult {
  std::string architecture;
  std::string base_identity, unlearned_identity;
  int64_t tensors_total = 0;
  std::vector<ChangedTensor> changed;

  Json to_json() const;
};

/// What unlearning changed. Reads both checkpoints; runs no model. Unlike `sanitize` it takes pairs
/// of families that cannot be run, and identical ones.
InspectResult inspect(const std::filesystem::path& base, const std::filesystem::path& unlearned,
                      const Progress& progress);

}  // namespace sagesan
