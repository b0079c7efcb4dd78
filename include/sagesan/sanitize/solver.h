#pragma once

#include "sagesan/spectral/subspace.h"
#include "sagesan/support/tensor.h"

namespace sagesan {

/// The closed forms of SAGE (arXiv:2606.18309; derivation in docs/method.md). Each gives what is to
/// be taken out of the update `d = unlearned - base`, so that the sanitized weight is `unlearned -
/// removed`: at strength 0 nothing is removed. All of them are linear in `d`. An infinite strength
/// takes out everything that has a penalty: the hard projection.

/// Linear module: `D U_k diag(s h / (1 + s h)) U_k^T`, the minimizer X = D - removed of
/// `||X - D||_F^2 + s ||X U_k diag(h)^(1/2)||_F^2`. `d` float32 `[out, in]`.
Tensor removed_from_linear(const Tensor& d, const Subspace& subspace, double strength);
/// The same from D U_k, float32 `[out, k]`.
Tensor removed_from_coordinates(const Tensor& coordinates, const Subspace& subspace,
                                double strength);

/// What is to be taken out of D, and (D - removed) R, R being the root of S.
struct SolvedThroughRoot {
  Tensor removed, image;
};
/// The same as `removed_from_linear` where D R is known, float32 `[out, columns of R]`: what is
/// left then needs no product with R of its own, and where R begins with U_k, scaled, nor does D
/// U_k.
SolvedThroughRoot solve_linear(const Tensor& d, const Tensor& image, const Subspace& subspace,
                               double strength);

/// Bias vector, whose input is the constant 1: `D s / (1 + s)`.
Tensor removed_from_bias(const Tensor& d, double strength);

/// Norm gain: `D_j s n_j / (1 + s n_j)`; `relative_energies` n_j float64 `[channels]`.
Tensor removed_from_norm(const Tensor& d, const Tensor& relative_energies, double strength);

/// Embedding rows, whose input is one-hot: `D_v s e_v / (1 + s e_v)` with e_v = p_v * V_seen, the
/// token's frequency times the number of distinct tokens. `d` `[rows, hidden]`, `row_energies`
/// float64
/// `[rows]`.
Tensor removed_from_embedding(const Tensor& d, const Tensor& row_energies, double strength);

/// Embedding tied to the head: both penalties on one tensor. In the head's basis U_k the update is
/// divided by `1 + s e_v + s h_i`, outside it by `1 + s e_v`.
Tensor removed_from_tied_embedding(const Tensor& d, const Tensor& row_energies,
                                   const Subspace& head, double strength);

/// The same where D R is known, R being the root of the head's S.
SolvedThroughRoot solve_tied_embedding(const Tensor& d, const Tensor& image,
                                       const Tensor& row_energies, const Subspace& head,
                                       double strength);

/// e_v for every row of the vocabulary from the token counts, float64 on the CPU.
Tensor embedding_energies(const DiagonalMoment& counts);

/// n_j = E[xhat_j^2] / mean_j E[xhat_j^2] of a norm's normalized inputs, float64 on the CPU. Throws
/// `Error` naming `site` where they are all zero.
Tensor norm_energies(const DiagonalMoment& moment, const std::string& site);

/// `unlearned - removed`, computed in the dtype of `removed` and rounded once to `dtype`; where
/// nothing is removed the bits of `unlearned` stay (the sign of a zero too). Throws `Error` naming
/// `name` if the result is not finite, in `dtype` too.
Tensor take_out(const Tensor& unlearned, const Tensor& removed, DType dtype,
                const std::string& name);

/// `result` as it is. Throws as `take_out`.
Tensor finite_result(Tensor result, DType dtype, const std::string& name);

}  // namespace sagesan
