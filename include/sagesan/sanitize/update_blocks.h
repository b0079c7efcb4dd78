#pragma once

#include <cstdint>
#include <map>
#include <tuple>

#include "sagesan/checkpoint/update_vector.h"
#include "sagesan/model/parameters.h"
#include "sagesan/support/tensor.h"

namespace sagesan {

/// Some rows of a changed tensor.
struct UpdateBlock {
  int64_t start;  ///< first row
  Tensor stored;  ///< unlearned values in their own dtype
  Tensor base;    ///< base values in the dtype of the computation
  Tensor d;       ///< the update: float32 for matrices, float64 for vectors
};

/// Whether a tensor can only be taken as one block: a vector, a matrix stored the other way round.
bool is_whole(const Update& update, const MatrixView& view);

/// Reads rows [start, start + count) of what `view` shows of a tensor; of one that is whole `start`
/// is 0 and `count` 1. Throws `InputError` naming the tensor where a weight is not finite.
UpdateBlock read_update_block(const Update& update, const MatrixView& view, at::Device device,
                              int64_t start, int64_t count);

/// What many candidates read of the same layer: read once and kept until `clear`, some ten bytes a
/// weight.
class UpdateBlocks {
 public:
  /// As `read_update_block`; `update` must live until `clear`.
  const UpdateBlock& get(const Update& update, const MatrixView& view, at::Device device,
                         int64_t start, int64_t count);
  void clear() { blocks_.clear(); }

 private:
  std::map<std::tuple<const Update*, int64_t, int64_t, int64_t>, UpdateBlock> blocks_;
};

}  // namespace sagesan
