#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "sagesan/checkpoint/update_vector.h"
#include "sagesan/model/parameters.h"
#include "sagesan/sanitize/damping_curve.h"
#include "sagesan/sanitize/solver.h"
#include "sagesan/sanitize/survival.h"
#include "sagesan/sanitize/update_blocks.h"

namespace sagesan {

/// How much is taken out of one update.
struct Filter {
  double strength = 1;  ///< at least 0; infinite: the hard projection
  double gain = 1;      ///< the sanitized update times this
};

/// The damage that rows `m` of an update (or of the base weight) do, which start at row `start` of
/// the tensor: trace(M S M^T) or its counterpart.
using Measure = std::function<double(const Tensor& m, int64_t start)>;

/// Solves as `removed` does, with fewer products, where one of the measures is trace(M S M^T) =
/// scale (||M R||_F^2 - shift ||M||_F^2), for which D R is computed anyway. What is left is
/// measured before float32 rounds it.
struct ThroughRoot {
  size_t measure;   ///< which of the rule's it is
  MomentRoot root;  ///< R R^T = S / scale + shift I
  double scale = 1;
  double shift = 0;  ///< small enough that what cancels is not missed
  std::function<SolvedThroughRoot(const Tensor& d, const Tensor& image, int64_t start,
                                  double strength)>
      solve;

  /// The measure of `m`, whose `image` is M R.
  double response(const Tensor& image, const Tensor& m) const {
    const double shifted = shift == 0 ? 0 : shift * squared_norm(m);
    return std::max(scale * (squared_norm(image) - shifted), 0.0);  // NaN stays
  }
};

/// How one parameter kind is sanitized, in blocks of rows (a vector is one row).
struct Rule {
  /// What is to be taken out of the update rows `d`, which start at row `start` of the tensor.
  std::function<Tensor(const Tensor& d, int64_t start, double strength)> removed;
  std::vector<Measure> measures;
  /// Where it is given: the same as `removed` with fewer products where all is measured.
  std::optional<ThroughRoot> through_root;
  /// Where it is given: the elements of the same rows that become the base's own values, rounded to
  /// the output's dtype; bool, broadcast against `d`.
  std::function<Tensor(const Tensor& d, int64_t start)> goes_back;
  /// Where it is given: results are rounded with error feedback by this (`feedback_factor`).
  Tensor feedback;
  /// Adds what rows `d` contribute to the damping curve of each measure.
  std::function<void(const Tensor& d, int64_t start, std::vector<DampingCurve>& curves)>
      add_to_curves;
};

/// Of one tensor: D U_k of each block of rows, by its first row. Kept for the next strength.
using Products = std::map<int64_t, Tensor>;

/// Through `products`, where it is given: it must be of this tensor and subspace, and outlive the
/// rule.
Rule linear_rule(const Subspace& subspace, Products* products = nullptr);
Rule bias_rule();
/// `relative_energies` float64 `[channels]`, on the CPU.
Rule norm_rule(const Tensor& relative_energies);
/// `row_energies` float64 `[rows]`, on the CPU.
Rule embedding_rule(const Tensor& row_energies);
/// Measures as an embedding first, then as the head.
Rule tied_embedding_rule(const Tensor& row_energies, const Subspace& head);
/// The whole update divided by 1 + strength, whatever its directions; measured as `rule` does.
Rule uniform_rule(Rule rule);
/// The base values, rounded to the unlearned dtype.
Rule base_rule();
/// Nothing is removed; the figures alone are wanted.
Rule keep_rule();

/// Takes the new values of a tensor on the CPU, from element `start` of its data: what the output's
/// dtype holds exactly.
using TensorSink = std::function<void(uint64_t start, const Tensor& values)>;

/// Responses of one update: sums whose ratio to the base weight's own is a bias.
struct Responses {
  double base = 0, before = 0;
  double after = 0;  ///< of the rounded weights
  double rounding =
      0;  ///< of what rounding to the output's dtype alone changed; 0 unless asked for
};

/// What was measured while a tensor was solved; `after` is of the rounded weights.
struct SolveFigures {
  double squared_norm_before = 0, squared_norm_after = 0;
  std::vector<Responses> responses;  ///< one for each measure of the rule
  SurvivalSums survival;             ///< empty unless asked for
};

struct ApplyOptions {
  Filter filter;
  MatrixView view;
  at::Device device = at::kCPU;
  std::optional<DType> dtype = {};  ///< of the results; absent: the unlearned tensor's
  bool measure_rounding = false;
  bool measure_survival = false;  ///< of matrices
  double base_offset = 0;         ///< added to the base weight where its response is measured
};

/// Rows that are solved at a time, of a matrix of so many columns.
int64_t rule_block_rows(int64_t columns);

/// Gives `action` the update in blocks of rows, as rules take them. Reads the tensor once.
void for_each_update_block(const Update& update, const MatrixView& view, at::Device device,
                           const std::function<void(const Tensor& d, int64_t start)>& action);

/// Applies `rule` to one changed tensor and hands the result to `sink`, where one is given. Throws
/// `InputError` naming the tensor where a weight is not finite.
SolveFigures apply_rule(const Update& update, const Rule& rule, const ApplyOptions& options,
                        const TensorSink& sink);

/// The values that `apply_rule` gives, up to a rounding of float32 sums, for rows [start, start +
/// count) of what the view shows; for vectors and transposed matrices all of them, `start` 0 and
/// `count` 1. On the CPU, as it gives them to its sink. Read through `kept`, where it is given.
Tensor solve_rows(const Update& update, const Rule& rule, const ApplyOptions& options,
                  int64_t start, int64_t count, UpdateBlocks* kept = nullptr);

/// The strength at which `rule` leaves the share `target` of the bias of this update (of each of
/// its biases at most), before rounding. Infinity where that cannot be reached. Reads the tensor
/// once.
double strength_for_target(const Update& update, const Rule& rule, double target,
                           const MatrixView& view, at::Device device);

}  // namespace sagesan
