#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "sagesan/adapters/low_rank.h"
#include "sagesan/checkpoint/adapter_match.h"

namespace sagesan {

/// The tensors of a base that adapters change, with what they make of them: computed in blocks of
/// rows when they are read, never as a whole.
///
/// Adapters take effect one after another, as peft merges them: LoRA adds scale B A, DoRA turns
/// what is there, W' + scale B A, by m / ||W + scale B A||, the norm of the *base's* W over each
/// output's inputs (peft: tuners/lora/variants.py `DoraLinearVariant.merge_safe`). So without DoRA
/// the order does not matter: the updates are summed.
///
/// Products are computed in float32 (float64 where a factor is stored so) and added to the base's
/// values in float64; nothing is rounded to the base's dtype. So this minus the base gives the
/// product back to one part in 2^53 of the weight.
///
/// A module that is routed at run time between k factors B (HydraLoRA) has no merged weights. Its
/// tensor is what the weight would be by each route alone, one below another `[k * out, in]`:
/// W + scale B_i A. So its update is the stack of all routes' updates, whose damage is their sum.
class MergedAdapters final : public TensorFile {
 public:
  /// `base` and `adapters` must outlive this. Throws as `match_adapter` does, and `InputError`
  /// where two adapters replace one tensor, or one replaces what another adapts, and for an adapter
  /// that is routed at run time among several. Reads no values but of whole tensors, to leave out
  /// copies of the base's.
  MergedAdapters(const Checkpoint& base, const std::vector<Adapter>& adapters);
  ~MergedAdapters() override;

  /// The first adapter's file.
  const std::filesystem::path& path() const override;
  /// Every base tensor that an adapter changes, in the base's order, with the base's name and
  /// shape (but for routed modules): F64, but in its own dtype and shape where one adapter replaces
  /// it and none adds to it.
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  /// Any bytes; a block of rows is kept, so that reading on costs nothing twice. Values may be NaN
  /// or infinite where the adapter's are. Safe on several threads, which wait for each other.
  void read(const TensorInfo& tensor, uint64_t start, std::span<std::byte> buffer) const override;

  /// By the base's name; an empty handle for a tensor that no adapter changes.
  StoredTensor find(const std::string& name) const;
  /// What the adapters, in their order, do to the base tensor `name`, which is one of `tensors()`.
  const std::vector<AdapterChange>& changes(const std::string& name) const;
  /// The adapter that made a change.
  const Adapter& adapter_of(const AdapterChange& change) const;
  /// Why no sanitized adapter of the same rank can be written for the base tensor `name`; nothing
  /// where A F (or a changed whole tensor or bias) in the adapter's own tensor does it. Whether the
  /// tensor is also a tied head is for the caller to say, and so is that tensors which share a
  /// stored A (`LowRankUpdate::shares_a_with`) are solved with one F.
  std::optional<std::string> why_not_low_rank(const std::string& name) const;

 private:
  struct Work;
  size_t index_of(const TensorInfo& tensor) const;
  Tensor compute_rows(size_t index, int64_t start, int64_t count) const;
  void prepare(size_t index) const;
  Tensor base_rows(size_t index, int64_t start, int64_t count) const;

  const std::vector<Adapter>& adapters_;
  std::vector<TensorInfo> tensors_;
  std::vector<std::vector<AdapterChange>> changes_;  ///< as `tensors_`
  std::map<std::string, size_t> by_name_;
  mutable std::mutex mutex_;
  std::unique_ptr<Work> work_;
};

}  // namespace sagesan
