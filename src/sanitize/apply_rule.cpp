#include <algorithm>

#include "sagesan/sanitize/error_feedback.h"
#include "sagesan/sanitize/rules.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

/// Numbers of one block of rows: a handful of such blocks is all that solving a tensor needs.
constexpr int64_t kBlockElements = int64_t{1} << 20;

/// Some rows of a changed tensor.
struct Block {
  int64_t start;  ///< first row
  Tensor stored;  ///< unlearned values in their own dtype
  Tensor base;    ///< base values in the dtype of the computation
  Tensor d;       ///< the update: float32 for matrices, float64 for vectors
};

/// Whether a tensor can only be taken as one block: a vector, a matrix stored the other way round.
bool is_whole(const Update& update, const MatrixView& view) {
  return update.unlearned.info->shape.size() < 2 || view.transposed;
}

/// Rows [start, start + count) of what `view` shows of a tensor; `count` 1 of one that is whole.
/// Vectors are small: float64 throughout.
Block read_block(const Update& update, const MatrixView& view, at::Device device, int64_t start,
                 int64_t count) {
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

/// A block at a time.
void for_each_block(const Update& update, const MatrixView& view, at::Device device,
                    const std::function<void(const Block&)>& action) {
  if (update.unlearned.info->bytes == 0) return;
  const bool whole = is_whole(update, view);
  const int64_t rows = view.rows >= 0 ? view.rows : whole ? 1 : row_count(update.unlearned);
  const int64_t step =
      whole ? 1 : std::max<int64_t>(1, kBlockElements / update.unlearned.info->shape.back());
  for (int64_t start = 0; start < rows; start += step)
    action(read_block(update, view, device, start, std::min(step, rows - start)));
}

/// What a rule makes of a block.
struct Solved {
  Tensor wanted;  ///< the sanitized update before rounding
  Tensor result;  ///< the new values
};

Solved solve_block(const Block& block, const Rule& rule, const Filter& filter, DType dtype,
                   const std::string& name) {
  const Tensor& d = block.d;
  Tensor removed = rule.removed(d, block.start, filter.strength);
  if (filter.gain != 1) removed = removed * filter.gain + d * (1 - filter.gain);
  Tensor stored = block.stored;
  Tensor wanted = d - removed;
  if (rule.goes_back) {
    const Tensor back = rule.goes_back(d, block.start);
    stored = at::where(back, block.base.to(stored.scalar_type()), stored);
    wanted = wanted.masked_fill(back, 0);
  }
  removed = removed.to(block.base.scalar_type());
  // Where nothing is taken out the stored bits stay: feedback would only move what is exact.
  if (!rule.feedback.defined() || removed.count_nonzero().item<int64_t>() == 0)
    return {wanted, take_out(stored, removed, dtype, name)};
  const Tensor exact = (stored.to(removed.scalar_type()) - removed).to(at::kFloat);
  return {wanted, finite_result(round_with_feedback(exact, rule.feedback, dtype), dtype, name)};
}

}  // namespace

void for_each_update_block(const Update& update, const MatrixView& view, at::Device device,
                           const std::function<void(const Tensor& d, int64_t start)>& action) {
  for_each_block(update, view, device, [&](const Block& block) { action(block.d, block.start); });
}

SolveFigures apply_rule(const Update& update, const Rule& rule, const ApplyOptions& options,
                        const TensorSink& sink) {
  SolveFigures figures;
  figures.responses.resize(rule.measures.size());
  const int64_t start = options.view.start;
  uint64_t written =
      start > 0 ? static_cast<uint64_t>(start * update.unlearned.info->shape.back()) : 0;
  const DType dtype = options.dtype.value_or(update.unlearned.info->dtype);
  for_each_block(update, options.view, options.device, [&](const Block& block) {
    const Tensor& d = block.d;
    const auto [wanted, result] = solve_block(block, rule, options.filter, dtype, update.name);
    const Tensor left = (result.to(block.base.scalar_type()) - block.base).to(d.scalar_type());
    figures.squared_norm_before += squared_norm(d);
    figures.squared_norm_after += squared_norm(left);
    const Tensor weight = (block.base + options.base_offset).to(d.scalar_type());
    for (size_t i = 0; i < rule.measures.size(); ++i) {
      const auto& measure = rule.measures[i];
      Responses& responses = figures.responses[i];
      responses.base += measure(weight, block.start);
      responses.before += measure(d, block.start);
      responses.after += measure(left, block.start);
      if (options.measure_rounding) responses.rounding += measure(left - wanted, block.start);
    }
    if (options.measure_survival) figures.survival.add(block.base, wanted, result, dtype);
    if (sink) sink(written, (options.view.transposed ? result.t() : result).cpu().contiguous());
    written += static_cast<uint64_t>(result.numel());
  });
  return figures;
}

Tensor solve_rows(const Update& update, const Rule& rule, const ApplyOptions& options,
                  int64_t start, int64_t count) {
  const Block block = read_block(update, options.view, options.device, start, count);
  const Tensor result =
      solve_block(block, rule, options.filter, options.dtype.value_or(update.unlearned.info->dtype),
                  update.name)
          .result;
  return (options.view.transposed ? result.t() : result).cpu().contiguous();
}

double strength_for_target(const Update& update, const Rule& rule, double target,
                           const MatrixView& view, at::Device device) {
  std::vector<DampingCurve> curves(rule.measures.size());
  std::vector<double> responses(rule.measures.size());
  for_each_block(update, view, device, [&](const Block& block) {
    rule.add_to_curves(block.d, block.start, curves);
    for (size_t i = 0; i < responses.size(); ++i)
      responses[i] += rule.measures[i](block.d, block.start);
  });
  // Where an update does no damage there is nothing to damp: rows of an embedding that the retain
  // texts never use, say.
  std::vector<DampingCurve> damaging;
  for (size_t i = 0; i < curves.size(); ++i) {
    if (responses[i] > 0) damaging.push_back(std::move(curves[i]));
  }
  return strength_for(damaging, target);
}

}  // namespace sagesan
