#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "sagesan/adapters/merged_adapters.h"
#include "sagesan/sanitize/plan.h"
#include "sagesan/sanitize/rules.h"

namespace sagesan {

/// The sanitized update as the adapter that it came from: `(B A) F = B (A F)`, so what is done to
/// the update is done to the factor on the side of the input, and the rank stays.
class AdapterOutput {
 public:
  /// `merged` of the one `adapter`, for which `check_adapter_output` found no obstacle, paired as
  /// `updates`; all must outlive this.
  AdapterOutput(const MergedAdapters& merged, const Adapter& adapter, const UpdateVector& updates)
      : merged_(merged), adapter_(adapter), updates_(updates) {}

  /// Takes a tensor's filter into its factors; `rule` as it is applied to the update itself, on
  /// `device`. What is no product (tensors of modules_to_save, biases) is `sanitized` as a whole,
  /// `[elements]` of the tensor or of the expert's part.
  void add(const PlannedTensor& tensor, const Rule& rule, const Filter& filter,
           const Tensor& sanitized, at::Device device);
  /// Whether `add` wants the sanitized values.
  bool wants_values(const PlannedTensor& tensor) const;
  /// Writes the adapter with its configuration.
  void write(const std::filesystem::path& directory) const;

 private:
  Tensor& changed(const StoredTensor& stored);
  /// Puts `sanitized` in the place of a tensor's elements from `first` on, wherever the adapter has
  /// it.
  void put_whole(const AdapterChange& change, int64_t first, const Tensor& sanitized);

  const MergedAdapters& merged_;
  const Adapter& adapter_;
  const UpdateVector& updates_;
  std::map<std::string, Tensor> changed_;  ///< by the adapter's names, in the stored dtype
};

}  // namespace sagesan
