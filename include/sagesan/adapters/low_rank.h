#pragma once

#include <cstddef>
#include <deque>
#include <utility>

#include "sagesan/checkpoint/adapter_match.h"
#include "sagesan/support/tensor.h"

namespace sagesan {

/// Both factors of a low-rank update, ready to be multiplied: `scale` is in `rows`.
struct FactorPair {
  Tensor rows;     ///< `[slabs, rows, rank]`; of a routed module the rows of all routes
  Tensor columns;  ///< `[slabs, rank, columns]`
};

/// The factor of each slab, `[slabs, rank, length]`, contiguous: float64 where it is stored so,
/// else float32, which holds every other dtype exactly.
Tensor load_factor(const StoredFactor& factor);

/// Puts `values` `[slabs, rank, length]` where `load_factor` found them into `whole`, a tensor of
/// the stored factor's shape and dtype: rounded to that dtype once, the rest of it untouched. With
/// one `whole` for all factors stored in one tensor, each puts its own part.
void put_factor(const StoredFactor& factor, const Tensor& values, Tensor& whole);

/// The tensors that hold the factors of many experts, as stored, kept while one expert after
/// another is asked for: the last few.
class SharedFactors {
 public:
  explicit SharedFactors(size_t most) : most_(most) {}
  Tensor load(const StoredTensor& stored);

 private:
  size_t most_;
  std::deque<std::pair<const TensorInfo*, Tensor>> kept_;
};

/// Both factors in float32, or in float64 where one is stored so. `shared` holds those of which the
/// update needs a part.
FactorPair load_factors(const LowRankUpdate& update, SharedFactors& shared);

/// Rows [start, start + count) of the product, of the matrix `[slabs * rows, columns]`.
Tensor multiply_rows(const FactorPair& factors, int64_t start, int64_t count);

}  // namespace sagesan
