#pragma once

#include <functional>
#include <vector>

#include "sagesan/checkpoint/update_vector.h"
#include "sagesan/sanitize/solver.h"

namespace sagesan {

/// Takes the new values of a tensor, in its stored dtype on the CPU, from byte `start` of its data.
using TensorSink = std::function<void(uint64_t start, const Tensor& values)>;

/// Responses of one update: sums whose ratio to the base weight's own is a bias.
struct Responses {
  double base = 0, before = 0, after = 0;
};

/// What was measured while a tensor was solved; `after` is of the rounded weights.
struct SolveFigures {
  double squared_norm_before = 0, squared_norm_after = 0;
  std::vector<Responses> responses;  ///< one for each measure of the rule
};

/// How one parameter kind is sanitized, in blocks of rows (a vector is one row).
struct Rule {
  /// What is to be taken out of the update rows `d`, which start at row `start` of the tensor.
  std::function<Tensor(const Tensor& d, int64_t start)> removed;
  /// The damage that rows `m` of an update (or of the base weight) do: trace(M S M^T) or its
  /// counterpart.
  std::vector<std::function<double(const Tensor& m, int64_t start)>> measures;
};

Rule linear_rule(const Subspace& subspace, double strength);
Rule bias_rule(double strength);
/// `relative_energies` float64 `[channels]`, on the CPU.
Rule norm_rule(const Tensor& relative_energies, double strength);
/// `row_energies` float64 `[rows]`, on the CPU.
Rule embedding_rule(const Tensor& row_energies, double strength);
/// Measures as an embedding first, then as the head.
Rule tied_embedding_rule(const Tensor& row_energies, const Subspace& head, double strength);
/// The base values, rounded to the unlearned dtype.
Rule base_rule();
/// Nothing is removed; the figures alone are wanted.
Rule keep_rule();

/// Applies `rule` to one changed tensor and hands the result to `sink`, where one is given. Throws
/// `InputError` naming the tensor where a weight is not finite.
SolveFigures apply_rule(const Update& update, const Rule& rule, at::Device device,
                        const TensorSink& sink);

}  // namespace sagesan
