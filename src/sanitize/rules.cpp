#include "sagesan/sanitize/rules.h"

#include <algorithm>

#include "sagesan/support/error.h"

namespace sagesan {
namespace {

/// Numbers of one block of rows: a handful of such blocks is all that solving a tensor needs.
constexpr int64_t kBlockElements = int64_t{1} << 20;

double weighted_squares(const Tensor& m, const Tensor& weights) {
  return (m.to(at::kDouble).pow(2) * weights.to(m.device())).sum().item<double>();
}

Tensor rows_of(const Tensor& energies, const Tensor& d, int64_t start) {
  return energies.narrow(0, start, d.size(0));
}

}  // namespace

Rule linear_rule(const Subspace& subspace, double strength) {
  return {.removed = [&subspace, strength](
                         const Tensor& d,
                         int64_t) { return removed_from_linear(d, subspace, strength); },
          .measures = {[&subspace](const Tensor& m, int64_t) { return subspace.response(m); }}};
}

Rule bias_rule(double strength) {
  return {
      .removed = [strength](const Tensor& d, int64_t) { return removed_from_bias(d, strength); },
      .measures = {[](const Tensor& m, int64_t) { return squared_norm(m); }}};
}

Rule norm_rule(const Tensor& relative_energies, double strength) {
  return {.removed = [=](const Tensor& d,
                         int64_t) { return removed_from_norm(d, relative_energies, strength); },
          .measures = {
              [=](const Tensor& m, int64_t) { return weighted_squares(m, relative_energies); }}};
}

Rule embedding_rule(const Tensor& row_energies, double strength) {
  return {.removed =
              [=](const Tensor& d, int64_t start) {
                return removed_from_embedding(d, rows_of(row_energies, d, start), strength);
              },
          .measures = {[=](const Tensor& m, int64_t start) {
            return weighted_squares(m, rows_of(row_energies, m, start).unsqueeze(1));
          }}};
}

Rule tied_embedding_rule(const Tensor& row_energies, const Subspace& head, double strength) {
  Rule rule = embedding_rule(row_energies, strength);
  rule.removed = [=, &head](const Tensor& d, int64_t start) {
    return removed_from_tied_embedding(d, rows_of(row_energies, d, start), head, strength);
  };
  rule.measures.emplace_back([&head](const Tensor& m, int64_t) { return head.response(m); });
  return rule;
}

Rule base_rule() {
  return {.removed = [](const Tensor& d, int64_t) { return d; }};
}

Rule keep_rule() {
  return {.removed = [](const Tensor& d, int64_t) { return at::zeros_like(d); }};
}

SolveFigures apply_rule(const Update& update, const Rule& rule, at::Device device,
                        const TensorSink& sink) {
  const std::vector<int64_t>& shape = update.unlearned.info->shape;
  SolveFigures figures;
  figures.responses.resize(rule.measures.size());
  if (update.unlearned.info->bytes == 0) return figures;
  // A matrix goes in blocks of rows; anything else is one block. Vectors are small: float64
  // throughout.
  const bool matrix = shape.size() == 2;
  const bool wide = !matrix || update.base.info->dtype == DType::kF64 ||
                    update.unlearned.info->dtype == DType::kF64;
  const int64_t rows = matrix ? shape[0] : 1;
  const int64_t step =
      matrix ? std::max<int64_t>(1, kBlockElements / std::max<int64_t>(1, shape[1])) : 1;
  uint64_t written = 0;
  for (int64_t start = 0; start < rows; start += step) {
    const int64_t count = std::min(step, rows - start);
    const auto read = [&](const StoredTensor& stored) {
      Tensor values = (matrix ? load_rows(stored, start, count) : load(stored)).to(device);
      check_finite(values, stored);
      return values;
    };
    const Tensor stored = read(update.unlearned);
    const Tensor before = stored.to(wide ? at::kDouble : at::kFloat);
    const Tensor base = read(update.base).to(before.scalar_type());
    const Tensor d = matrix ? (before - base).to(at::kFloat) : before - base;
    const Tensor result =
        take_out(stored, rule.removed(d, start).to(before.scalar_type()), update.name);
    const Tensor left = (result.to(before.scalar_type()) - base).to(d.scalar_type());
    figures.squared_norm_before += squared_norm(d);
    figures.squared_norm_after += squared_norm(left);
    const Tensor weight = base.to(d.scalar_type());
    for (size_t i = 0; i < rule.measures.size(); ++i) {
      figures.responses[i].base += rule.measures[i](weight, start);
      figures.responses[i].before += rule.measures[i](d, start);
      figures.responses[i].after += rule.measures[i](left, start);
    }
    const Tensor bytes = result.cpu().contiguous();
    if (sink) sink(written, bytes);
    written += bytes.nbytes();
  }
  return figures;
}

}  // namespace sagesan
