#include "sagesan/adapters/low_rank.h"

#include <algorithm>

#include "sagesan/support/error.h"

namespace sagesan {
namespace {

/// The part of `whole`, which is stored as `factor` says, as a view `[slabs, rank, length]`.
Tensor view_of(const StoredFactor& factor, const Tensor& whole) {
  // An A has an expert's rows one after another, a B the experts' columns in turn.
  const Tensor by_expert =
      factor.is_a ? whole.view({factor.experts, factor.rank, whole.size(1)})
                  : whole.view({whole.size(0), factor.rank, factor.experts}).permute({2, 1, 0});
  return by_expert.narrow(0, factor.first_expert, factor.slabs)
      .narrow(2, factor.start, factor.length);
}

Tensor part_of(const StoredFactor& factor, const Tensor& whole) {
  const at::ScalarType type = whole.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return view_of(factor, whole).to(type).contiguous();
}

/// The factors B of all routes, `[1, rank, routes * out]`.
Tensor load_routes(const LowRankUpdate& update) {
  std::vector<Tensor> parts;
  for (const StoredTensor& route : update.routes) {
    StoredFactor b = update.rows;
    b.stored = route;
    parts.push_back(load_factor(b));
  }
  return at::cat(parts, 2);
}

}  // namespace

Tensor SharedFactors::load(const StoredTensor& stored) {
  const auto found = std::find_if(kept_.begin(), kept_.end(),
                                  [&](const auto& kept) { return kept.first == stored.info; });
  if (found != kept_.end()) return found->second;
  if (kept_.size() == most_) kept_.pop_front();
  kept_.emplace_back(stored.info, sagesan::load(stored));
  return kept_.back().second;
}

Tensor load_factor(const StoredFactor& factor) { return part_of(factor, load(factor.stored)); }

void put_factor(const StoredFactor& factor, const Tensor& values, Tensor& whole) {
  SAGESAN_ASSERT(whole.sizes().vec() == factor.stored.info->shape &&
                 whole.scalar_type() == scalar_type(factor.stored.info->dtype));
  view_of(factor, whole).copy_(values);
}

FactorPair load_factors(const LowRankUpdate& update, SharedFactors& shared) {
  const auto read = [&](const StoredFactor& factor) {
    if (factor.slabs == factor.experts) return load_factor(factor);
    return part_of(factor, shared.load(factor.stored));
  };
  Tensor rows = update.routes.empty() ? read(update.rows) : load_routes(update);
  Tensor columns = read(update.columns);
  const bool wide = rows.scalar_type() == at::kDouble || columns.scalar_type() == at::kDouble;
  const at::ScalarType type = wide ? at::kDouble : at::kFloat;
  rows = rows.to(type).transpose(1, 2) * update.scale;
  return {rows.contiguous(), columns.to(type)};
}

Tensor multiply_rows(const FactorPair& factors, int64_t start, int64_t count) {
  const int64_t rows = factors.rows.size(1);
  std::vector<Tensor> parts;
  for (int64_t row = start; row < start + count;) {
    const int64_t slab = row / rows;
    const int64_t first = row % rows;
    const int64_t here = std::min(rows - first, start + count - row);
    parts.push_back(at::mm(factors.rows.select(0, slab).narrow(0, first, here),
                           factors.columns.select(0, slab)));
    row += here;
  }
  return parts.size() == 1 ? parts[0] : at::cat(parts);
}

}  // namespace sagesan
