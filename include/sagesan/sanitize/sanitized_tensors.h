#pragma once

#include <map>
#include <string>
#include <vector>

#include "sagesan/checkpoint/update_vector.h"
#include "sagesan/sanitize/plan.h"
#include "sagesan/sanitize/rules.h"

namespace sagesan {

/// The weights that a sanitization would write, by the base's names, computed when they are read:
/// so that a candidate can be run without being written. The decoder reads them as it reads any
/// checkpoint, a layer or a block of rows at a time.
class SanitizedTensors final : public TensorFile {
 public:
  /// `updates` and `plan` must outlive this. What the plan keeps, and what did not change, is there
  /// from the beginning; what it solves once `solve` gave its rule.
  SanitizedTensors(const UpdateVector& updates, const Plan& plan, at::Device device);

  /// Where updates are read through from here on, with others; null: each time anew.
  void share(UpdateBlocks* blocks) { blocks_ = blocks; }

  /// Sets how `tensor`, one of the plan's, is computed from here on.
  void solve(const PlannedTensor& tensor, Rule rule, const Filter& filter);
  /// Forgets that rule, and what it refers to.
  void drop(const PlannedTensor& tensor);

  const std::filesystem::path& path() const override;
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  /// Throws `InputError` where a stored weight is not finite, `Error` where a result is not.
  void read(const TensorInfo& tensor, uint64_t start, std::span<std::byte> buffer) const override;

 private:
  /// The whole tensor, or what one expert has of it.
  struct Part {
    Rule rule;
    ApplyOptions options;
  };
  struct Entry {
    StoredTensor stored;             ///< whose bytes these are; empty where they are computed
    const Update* update = nullptr;  ///< what they are computed from
    std::map<int64_t, Part> parts;   ///< by first row
  };
  void add(const std::string& name, DType dtype, const StoredTensor& shaped_as, Entry entry);
  Tensor rows(const Entry& entry, int64_t start, int64_t count) const;

  at::Device device_;
  UpdateBlocks* blocks_ = nullptr;
  std::vector<TensorInfo> tensors_;
  std::vector<Entry> entries_;  ///< as `tensors_`
  std::map<std::string, size_t> by_name_;
};

}  // namespace sagesan
