#include "sagesan/sanitize/survival.h"

#include <algorithm>
#include <cmath>

namespace sagesan {
namespace {

/// Numbers of the rows that are looked at together: what is made of them stays in the cache.
constexpr int64_t kCachedElements = int64_t{1} << 16;
constexpr int64_t kGroup = 64;  // as bitsandbytes' 4-bit types have it

/// `w` `[groups, size]` as integers of at most `most` times the scale of their group.
Tensor round_groups(const Tensor& w, double most) {
  const Tensor scale = w.abs().amax({1}, true) / most;
  return (w / scale.clamp_min(1e-30)).round_().mul_(scale);
}

/// Rounded to the nearest with one scale for each row (8 bits).
Tensor to_int8(const Tensor& w) { return round_groups(w, 127); }

/// Rounded to the nearest with one scale for each 64 numbers of a row, the last of which may be
/// fewer (4 bits).
Tensor to_int4(const Tensor& w) {
  const int64_t whole = w.size(1) / kGroup * kGroup;
  Tensor result = at::empty_like(w);
  if (whole > 0) {
    const Tensor groups = w.narrow(1, 0, whole).reshape({-1, kGroup});
    result.narrow(1, 0, whole).copy_(round_groups(groups, 7).view({w.size(0), whole}));
  }
  if (whole < w.size(1)) {
    const int64_t rest = w.size(1) - whole;
    result.narrow(1, whole, rest).copy_(round_groups(w.narrow(1, whole, rest), 7));
  }
  return result;
}

}  // namespace

void SurvivalSums::Sums::add(const Tensor& change, const Tensor& update) {
  along += dot(change, update);
  squared_norm += sagesan::squared_norm(change);
}

void SurvivalSums::add(const Tensor& base, const Tensor& update, const Tensor& change) {
  const int64_t step =
      base.device().is_cpu() ? std::max<int64_t>(1, kCachedElements / base.size(1)) : base.size(0);
  for (int64_t start = 0; start < base.size(0); start += step) {
    const int64_t count = std::min(step, base.size(0) - start);
    add_rows(base.narrow(0, start, count), update.narrow(0, start, count),
             change.narrow(0, start, count));
  }
}

void SurvivalSums::add_rows(const Tensor& base, const Tensor& update, const Tensor& change) {
  const Tensor w0 = base.to(at::kFloat).contiguous();
  const Tensor d = update.to(at::kFloat).contiguous();
  const Tensor w = w0 + d;
  squared_norm_ += squared_norm(d);
  stored_.add(change, update);
  int8_.add(to_int8(w).sub_(to_int8(w0)), d);
  int4_.add(to_int4(w).sub_(to_int4(w0)), d);
}

double SurvivalSums::cosine(const Sums& sums) const {
  const double lengths = std::sqrt(sums.squared_norm * squared_norm_);
  return lengths > 0 ? sums.along / lengths : 0;
}

}  // namespace sagesan
