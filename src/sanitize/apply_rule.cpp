#include <algorithm>

#include "sagesan/sanitize/error_feedback.h"
#include "sagesan/sanitize/rules.h"
#include "sagesan/support/error.h"
#include "sagesan/support/stage_clock.h"

namespace sagesan {
namespace {

/// A block at a time.
void for_each_block(const Update& update, const MatrixView& view, at::Device device,
                    const std::function<void(const UpdateBlock&)>& action) {
  if (update.unlearned.info->bytes == 0) return;
  const bool whole = is_whole(update, view);
  const int64_t rows = view.rows >= 0 ? view.rows : whole ? 1 : row_count(update.unlearned);
  const int64_t step = whole ? 1 : rule_block_rows(update.unlearned.info->shape.back());
  for (int64_t start = 0; start < rows; start += step)
    action(read_update_block(update, view, device, start, std::min(step, rows - start)));
}

/// What a rule takes out of a block, its gain included, and what becomes the base's own.
struct Removal {
  Tensor removed;  ///< like `d`
  Tensor back;     ///< bool; undefined where nothing goes back
};

Removal with_gain(Tensor removed, const UpdateBlock& block, const Rule& rule, double gain) {
  if (gain != 1) removed = removed * gain + block.d * (1 - gain);
  if (!rule.goes_back) return {removed, Tensor()};
  const Tensor back = rule.goes_back(block.d, block.start);
  return {removed.masked_fill(back, 0), back};
}

Removal removal(const UpdateBlock& block, const Rule& rule, const Filter& filter) {
  return with_gain(rule.removed(block.d, block.start, filter.strength), block, rule, filter.gain);
}

/// What a rule takes out where D R is known, and what both updates are times R.
struct RootRemoval {
  Removal out;
  Tensor before, wanted;
};

RootRemoval removal_through_root(const UpdateBlock& block, const Rule& rule, const Filter& filter) {
  SAGESAN_ASSERT(!rule.goes_back);
  const ThroughRoot& through = *rule.through_root;
  Tensor before;
  {
    const StageClock clock("measure");
    before = through.root.image(block.d);
  }
  auto [removed, image] = through.solve(block.d, before, block.start, filter.strength);
  return {with_gain(removed, block, rule, filter.gain), before, image.mul_(filter.gain)};
}

/// The sanitized update before rounding.
Tensor wanted_update(const UpdateBlock& block, const Removal& removal) {
  const Tensor wanted = block.d - removal.removed;
  return removal.back.defined() ? wanted.masked_fill(removal.back, 0) : wanted;
}

/// The new values.
Tensor new_values(const UpdateBlock& block, const Removal& removal, const Rule& rule, DType dtype,
                  const std::string& name) {
  Tensor stored = block.stored;
  // In the dtype that holds both.
  if (removal.back.defined())
    stored = at::where(removal.back, block.base, stored.to(block.base.scalar_type()));
  const Tensor removed = removal.removed.to(block.base.scalar_type());
  // Where nothing is taken out the stored bits stay: feedback would only move what is exact.
  if (!rule.feedback.defined() || removed.count_nonzero().item<int64_t>() == 0)
    return take_out(stored, removed, dtype, name);
  const Tensor exact = (stored.to(removed.scalar_type()) - removed).to(at::kFloat);
  return finite_result(round_with_feedback(exact, rule.feedback, dtype), dtype, name);
}

}  // namespace

int64_t rule_block_rows(int64_t columns) {
  // A handful of such blocks is all that solving a tensor needs.
  constexpr int64_t kElements = int64_t{1} << 20;
  // With fewer rows a product takes as long to arrange the root as to multiply by it.
  constexpr int64_t kLeastRows = 256;
  return std::max(kLeastRows, kElements / std::max<int64_t>(columns, 1));
}

void for_each_update_block(const Update& update, const MatrixView& view, at::Device device,
                           const std::function<void(const Tensor& d, int64_t start)>& action) {
  for_each_block(update, view, device,
                 [&](const UpdateBlock& block) { action(block.d, block.start); });
}

SolveFigures apply_rule(const Update& update, const Rule& rule, const ApplyOptions& options,
                        const TensorSink& sink) {
  SolveFigures figures;
  figures.responses.resize(rule.measures.size());
  const int64_t start = options.view.start;
  uint64_t written =
      start > 0 ? static_cast<uint64_t>(start * update.unlearned.info->shape.back()) : 0;
  const DType dtype = options.dtype.value_or(update.unlearned.info->dtype);
  for_each_block(update, options.view, options.device, [&](const UpdateBlock& block) {
    const StageClock clock("solve");
    const Tensor& d = block.d;
    std::optional<RootRemoval> through;
    if (rule.through_root) through = removal_through_root(block, rule, options.filter);
    const Removal out = through ? through->out : removal(block, rule, options.filter);
    const Tensor wanted = wanted_update(block, out);
    const Tensor result = new_values(block, out, rule, dtype, update.name);
    const Tensor values = result.to(block.base.scalar_type());
    const Tensor left = (values - block.base).to(d.scalar_type());
    const StageClock measuring("measure");
    figures.squared_norm_before += squared_norm(d);
    figures.squared_norm_after += squared_norm(left);
    const Tensor weight = (options.base_offset != 0 ? block.base + options.base_offset : block.base)
                              .to(d.scalar_type());
    for (size_t i = 0; i < rule.measures.size(); ++i) {
      const auto& measure = rule.measures[i];
      Responses& responses = figures.responses[i];
      if (through && rule.through_root->measure == i) {
        const auto& rooted = *rule.through_root;
        const Tensor rounding = left - wanted;
        const Tensor image = rooted.root.image(rounding);
        responses.base += rooted.response(rooted.root.image(weight), weight);
        responses.before += rooted.response(through->before, d);
        responses.after += rooted.response(through->wanted + image, left);
        if (options.measure_rounding) responses.rounding += rooted.response(image, rounding);
        continue;
      }
      responses.base += measure(weight, block.start);
      responses.before += measure(d, block.start);
      responses.after += measure(left, block.start);
      if (options.measure_rounding) responses.rounding += measure(left - wanted, block.start);
    }
    if (options.measure_survival) {
      const bool same = update.base.info->dtype == dtype;
      figures.survival.add(
          block.base, wanted,
          same ? left : values - round_to(block.base, dtype).to(values.scalar_type()));
    }
    if (sink) sink(written, (options.view.transposed ? result.t() : result).cpu().contiguous());
    written += static_cast<uint64_t>(result.numel());
  });
  return figures;
}

Tensor solve_rows(const Update& update, const Rule& rule, const ApplyOptions& options,
                  int64_t start, int64_t count, UpdateBlocks* kept) {
  const UpdateBlock block =
      kept != nullptr ? kept->get(update, options.view, options.device, start, count)
                      : read_update_block(update, options.view, options.device, start, count);
  const Tensor result =
      new_values(block, removal(block, rule, options.filter), rule,
                 options.dtype.value_or(update.unlearned.info->dtype), update.name);
  return (options.view.transposed ? result.t() : result).cpu().contiguous();
}

double strength_for_target(const Update& update, const Rule& rule, double target,
                           const MatrixView& view, at::Device device) {
  std::vector<DampingCurve> curves(rule.measures.size());
  std::vector<double> responses(rule.measures.size());
  for_each_block(update, view, device, [&](const UpdateBlock& block) {
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
