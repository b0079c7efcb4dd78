#include "sagesan/sanitize/update_blocks.h"

namespace sagesan {

bool is_whole(const Update& update, const MatrixView& view) {
  return update.unlearned.info->shape.size() < 2 || view.transposed;
}

UpdateBlock read_update_block(const Update& update, const MatrixView& view, at::Device device,
                              int64_t start, int64_t count) {
  // Vectors are small: float64 throughout.
  const bool matrix = update.unlearned.info->shape.size() >= 2;
  const bool wide = !matrix || update.base.info->dtype == DType::kF64 ||
                    update.unlearned.info->dtype == DType::kF64;
  const auto read = [&](const StoredTensor& stored) {
    Tensor values =
        (is_whole(update, view) ? load(stored) : load_rows(stored, view.start + start, count))
            .to(device);
    check_finite(values, stored);
    return view.transposed ? values.t() : values;
  };
  const Tensor stored = read(update.unlearned);
  const Tensor before = stored.to(wide ? at::kDouble : at::kFloat);
  const Tensor base = read(update.base).to(before.scalar_type());
  const Tensor d = matrix ? (before - base).to(at::kFloat) : before - base;
  return {start, stored, base, d};
}

const UpdateBlock& UpdateBlocks::get(const Update& update, const MatrixView& view,
                                     at::Device device, int64_t start, int64_t count) {
  const std::tuple key{&update, view.start, start, count};
  const auto found = blocks_.find(key);
  if (found != blocks_.end()) return found->second;
  return blocks_.emplace(key, read_update_block(update, view, device, start, count)).first->second;
}

}  // namespace sagesan
