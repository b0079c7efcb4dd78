#pragma once

#include <functional>
#include <vector>

#include "sagesan/sanitize/rules.h"
#include "sagesan/spectral/moment_matrix.h"

namespace sagesan {

/// `--method rollback`: the input channels of a tensor that do the most harm per unit of update go
/// back to the base, all others stay as the unlearning left them. After the comparison method of
/// the local perturbation theory (arXiv:2606.02398), of which we know that it is "a training-free
/// rollback of a sparse set of coordinates"; what a coordinate is and how it is scored is our
/// reading (docs/method.md).

/// What rows of an update say of the channels that lie in them, float64 `[channels]`: a channel's
/// score is the ratio of its sums. One whose weight is 0 has nothing to go back for.
struct ChannelAmounts {
  Tensor bias, weight;
};

/// The channels of one kind of parameter.
struct Channels {
  bool are_rows = false;  ///< of the tensor; else its columns, the elements of a vector
  /// Of rows `d`, which start at row `start` of the tensor.
  std::function<ChannelAmounts(const Tensor& d, int64_t start)> amounts;
  std::vector<Measure> measures;
};

// What they take must outlive them; shapes as for the rules.

/// Columns j of a linear module, by `<D_j, (D S)_j> / |D_j|^2`: the terms of trace(D S D^T).
Channels linear_channels(const MomentMatrix& moment);
/// Gains, by n_j.
Channels norm_channels(const Tensor& relative_energies);
/// Rows, by e_v.
Channels embedding_channels(const Tensor& row_energies);
/// Rows v, by `e_v + D_v S D_v^T / |D_v|^2 / l`: both inputs, each relative to its mean energy (l
/// of the head's).
Channels tied_embedding_channels(const Tensor& row_energies, const MomentMatrix& head);

/// The channels that go back.
struct Rollback {
  Rule rule;
  int64_t channels = 0;    ///< how many they are
  int64_t candidates = 0;  ///< of how many that have a score
};

/// Chooses those with the largest scores: `share`, in (0, 1], of the channels that have a score, to
/// the nearest number but at least one; of equal ones those that come first. Reads the tensor once.
Rollback choose_rollback(const Update& update, const Channels& channels, double share,
                         const MatrixView& view, at::Device device);

}  // namespace sagesan
