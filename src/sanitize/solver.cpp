#include "sagesan/sanitize/solver.h"

#include <fmt/format.h>

#include <cmath>

#include "sagesan/support/error.h"

namespace sagesan {
namespace {

/// s h / (1 + s h), without overflow for the strongest strengths.
Tensor damping(const Tensor& energies, double strength) {
  if (std::isinf(strength)) return (energies > 0).to(energies.scalar_type());
  const Tensor penalty = energies * strength;
  return at::where(penalty > 1e300, at::ones({}, penalty.options()), penalty / (penalty + 1));
}

/// Takes the share `factors`, float32 `[k]` or by rows, of the coordinates out of D and of D R.
SolvedThroughRoot take_through_root(const Tensor& d, const Tensor& image, const Subspace& subspace,
                                    const Tensor& factors) {
  Tensor left = image.clone();
  Tensor taken;  // [out, k]
  if (subspace.directions_in_root.defined()) {
    taken = at::mm(d, subspace.directions) * factors;
    left.addmm_(taken, subspace.directions_in_root, 1, -1);
  } else {
    const Tensor scales = at::sqrt(subspace.relative_energies * subspace.mean_energy)
                              .to(subspace.directions.device(), at::kFloat);
    const Tensor leading = left.narrow(1, 0, subspace.rank);
    taken = leading / scales * factors;
    leading.sub_(taken * scales);
  }
  return {at::mm(taken, subspace.directions.t()), left};
}

/// Of what a tied embedding has in the head's directions and outside of them: float32, by rows.
struct TiedDamping {
  Tensor inside, outside;
};

TiedDamping tied_damping(const Tensor& d, const Tensor& row_energies, const Subspace& head,
                         double strength) {
  const Tensor rows = row_energies.unsqueeze(1);  // [rows, 1]
  return {damping(rows + head.relative_energies.unsqueeze(0), strength).to(d.device(), at::kFloat),
          damping(rows, strength).to(d.device(), at::kFloat)};
}

}  // namespace

Tensor removed_from_linear(const Tensor& d, const Subspace& subspace, double strength) {
  return removed_from_coordinates(at::mm(d, subspace.directions), subspace, strength);
}

Tensor removed_from_coordinates(const Tensor& coordinates, const Subspace& subspace,
                                double strength) {
  const Tensor factors =
      damping(subspace.relative_energies, strength).to(coordinates.device(), at::kFloat);
  return at::mm(coordinates * factors, subspace.directions.t());
}

SolvedThroughRoot solve_linear(const Tensor& d, const Tensor& image, const Subspace& subspace,
                               double strength) {
  return take_through_root(
      d, image, subspace, damping(subspace.relative_energies, strength).to(d.device(), at::kFloat));
}

Tensor removed_from_bias(const Tensor& d, double strength) {
  return d * (std::isinf(strength) ? 1 : strength / (1 + strength));
}

Tensor removed_from_norm(const Tensor& d, const Tensor& relative_energies, double strength) {
  return d * damping(relative_energies, strength).to(d.device(), d.scalar_type());
}

Tensor removed_from_embedding(const Tensor& d, const Tensor& row_energies, double strength) {
  return d * damping(row_energies, strength).unsqueeze(1).to(d.device(), d.scalar_type());
}

Tensor removed_from_tied_embedding(const Tensor& d, const Tensor& row_energies,
                                   const Subspace& head, double strength) {
  const auto [inside, outside] = tied_damping(d, row_energies, head, strength);
  // What is removed outside the basis is removed everywhere first; inside, the rest follows.
  const Tensor coordinates = at::mm(d, head.directions) * (inside - outside);
  return d * outside + at::mm(coordinates, head.directions.t());
}

SolvedThroughRoot solve_tied_embedding(const Tensor& d, const Tensor& image,
                                       const Tensor& row_energies, const Subspace& head,
                                       double strength) {
  const auto [inside, outside] = tied_damping(d, row_energies, head, strength);
  // As above: outside's share of all rows, whose image is that of the image.
  const auto [removed, left] = take_through_root(d, image, head, inside - outside);
  return {d * outside + removed, left - image * outside};
}

Tensor embedding_energies(const DiagonalMoment& counts) {
  const Tensor sum = counts.sum().cpu();
  const double total = sum.sum().item<double>();
  const auto seen = static_cast<double>(sum.count_nonzero().item<int64_t>());
  SAGESAN_ASSERT(total > 0);
  return sum * (seen / total);
}

Tensor norm_energies(const DiagonalMoment& moment, const std::string& site) {
  const Tensor sum = moment.sum().cpu();
  const double mean = sum.mean().item<double>();
  if (!(mean > 0)) {
    throw Error(ExitCode::kBadInput,
                site + ": the normalized activations are all zero or not finite");
  }
  return sum / mean;
}

Tensor finite_result(Tensor result, DType dtype, const std::string& name) {
  if (all_finite(result)) return result;
  throw Error(ExitCode::kBadInput,
              fmt::format("tensor {}: the sanitized weights are not finite in {}; choose another "
                          "--dtype, or a smaller --carrier-gain",
                          quote(name), dtype_name(dtype)));
}

Tensor take_out(const Tensor& unlearned, const Tensor& removed, DType dtype,
                const std::string& name) {
  const Tensor wide = unlearned.to(removed.scalar_type());
  // What is taken out must not be -0, which would turn a stored -0 into 0.
  return finite_result(round_to(wide - (removed + 0.0), dtype), dtype, name);
}

}  // namespace sagesan
