#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sagesan/checkpoint/adapter.h"

namespace sagesan {

/// One factor of a low-rank update as it is stored: for each of `slabs` matrices (1, or the experts
/// of a three-dimensional tensor) a factor `[rank, length]` whose columns run along the rows or the
/// columns of the base's matrix.
struct StoredFactor {
  StoredTensor stored;
  int64_t rank = 0;
  int64_t experts = 1;       ///< whose factors `stored` holds
  int64_t first_expert = 0;  ///< of the first slab
  int64_t slabs = 1;
  /// Of an A `[experts * rank, n]`, an expert's rows one after another; else of a B
  /// `[n, rank * experts]`, where expert e has the columns e, e + experts, ... (peft:
  /// tuners/lora/layer.py `ParamWrapper.get_delta_weight`).
  bool is_a = true;
  int64_t start = 0;  ///< where the `length` entries start in n
  int64_t length = 0;
};

/// W += scale * rows^T columns for each slab of W: `[slabs, rows.length, columns.length]`. Of a
/// module that is routed at run time the products of all routes one below another,
/// `[routes * rows.length, columns.length]`, each of which W is added to.
struct LowRankUpdate {
  StoredFactor rows;     ///< along W's rows, the last but one dimension
  StoredFactor columns;  ///< along W's columns
  /// Every B `[out, rank]` of a routed module, by number; `rows.stored` is the first. Empty for
  /// plain LoRA.
  std::vector<StoredTensor> routes;
  double scale = 0;
  StoredTensor magnitude;  ///< DoRA's, of every output; empty for plain LoRA
  /// DoRA: the norms are those of W's rows, else those of its columns.
  bool norms_of_rows() const { return !rows.is_a; }
  /// Base tensors whose update has the same stored A: the halves of a fused projection whose base
  /// is stored apart. Empty but for those.
  std::vector<std::string> shares_a_with;
};

/// What one adapter does to one tensor of the base.
struct AdapterChange {
  StoredTensor base;
  /// Takes the base's place first, where there is one. A matrix may have more rows than the base's:
  /// new tokens.
  StoredTensor whole;
  std::vector<StoredTensor> copies = {};  ///< the adapter's tensors that are `whole` too
  bool is_head_too = false;  ///< one of them is the head, which the base ties to this embedding
  std::optional<LowRankUpdate> low_rank;
  StoredTensor bias;  ///< `lora_B.bias`, added `bias_scale` times
  double bias_scale = 0;
};

/// Finds for every module and tensor of the adapter the base's tensors, by canonical name, in the
/// base's order. A three-dimensional parameter that the base stores as single experts is dealt out
/// to them (transformers: core_model_loading.py `MergeModulelist`, `Concatenate`). What changes
/// nothing is left out: copies of the base's own bytes, products with a factor or scale that is 0.
///
/// Throws `InputError` that names adapter tensor and base directory for what the base lacks or has
/// twice, both shapes where they do not fit, and for an orientation or an order of nested
/// parameters that neither shapes nor the model's type decide; for a module that is routed at run
/// time and no linear layer whose weight is stored `[out, in]`.
std::vector<AdapterChange> match_adapter(const Adapter& adapter, const Checkpoint& base);

}  // namespace sagesan
