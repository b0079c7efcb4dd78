#include "sagesan/sanitize/rules.h"

#include <algorithm>

#include "sagesan/support/error.h"

namespace sagesan {
namespace {

double weighted_squares(const Tensor& m, const Tensor& weights) {
  return (m.to(at::kDouble).pow(2) * weights.to(m.device())).sum().item<double>();
}

Tensor rows_of(const Tensor& energies, const Tensor& d, int64_t start) {
  return energies.narrow(0, start, d.size(0));
}

/// Adds amounts with their penalties, float64 tensors of one size.
void add_all(DampingCurve& curve, const Tensor& penalties, const Tensor& amounts) {
  const Tensor penalty = penalties.cpu().contiguous();
  const Tensor amount = amounts.cpu().contiguous();
  for (int64_t i = 0; i < penalty.numel(); ++i)
    curve.add(penalty.data_ptr<double>()[i], amount.data_ptr<double>()[i]);
}

/// An update in the basis of a subspace: squares `[rows, k]` of its coordinates, float64, and what
/// lies outside the subspace, `[rows, channels]`.
struct Split {
  Tensor squares, outside;
};

Split split(const Tensor& d, const Subspace& subspace) {
  const Tensor coordinates = at::mm(d, subspace.directions);
  return {coordinates.to(at::kDouble).pow(2), d - at::mm(coordinates, subspace.directions.t())};
}

/// l_i, float64 `[k]` on the CPU.
Tensor eigenvalues(const Subspace& subspace) {
  return subspace.relative_energies * subspace.mean_energy;
}

/// Both curves of an embedding tied to the head. Rows of one token count share their penalties:
/// they are summed first, which leaves few numbers of a large vocabulary.
void add_tied_curves(const Tensor& d, const Tensor& row_energies, const Subspace& head,
                     std::vector<DampingCurve>& curves) {
  const auto [squares, outside] = split(d, head);
  const Tensor rows = row_energies.contiguous();
  std::map<double, std::vector<int64_t>> groups;
  for (int64_t v = 0; v < rows.numel(); ++v) groups[rows.data_ptr<double>()[v]].push_back(v);
  for (const auto& [energy, members] : groups) {
    const Tensor index = at::tensor(members, at::kLong).to(d.device());
    const Tensor inside = squares.index_select(0, index).sum(0).cpu();
    const Tensor rest = outside.index_select(0, index);
    const Tensor penalties = head.relative_energies + energy;
    add_all(curves[0], penalties, inside * energy);
    curves[0].add(energy, squared_norm(rest) * energy);
    add_all(curves[1], penalties, inside * eigenvalues(head));
    curves[1].add(energy, head.root.response(rest));
  }
}

}  // namespace

Rule linear_rule(const Subspace& subspace, Products* products) {
  return {.removed =
              [&subspace, products](const Tensor& d, int64_t start, double strength) {
                if (products == nullptr) return removed_from_linear(d, subspace, strength);
                Tensor& coordinates = (*products)[start];
                if (!coordinates.defined()) coordinates = at::mm(d, subspace.directions);
                return removed_from_coordinates(coordinates, subspace, strength);
              },
          .measures = {[&subspace](const Tensor& m, int64_t) { return subspace.root.response(m); }},
          .through_root = ThroughRoot{.measure = 0,
                                      .root = subspace.root,
                                      .solve =
                                          [&subspace](const Tensor& d, const Tensor& image, int64_t,
                                                      double strength) {
                                            return solve_linear(d, image, subspace, strength);
                                          }},
          .add_to_curves =
              [&subspace](const Tensor& d, int64_t, std::vector<DampingCurve>& curves) {
                const auto [squares, outside] = split(d, subspace);
                add_all(curves[0], subspace.relative_energies,
                        squares.sum(0).cpu() * eigenvalues(subspace));
                curves[0].add(0, subspace.root.response(outside));
              }};
}

Rule bias_rule() {
  return uniform_rule({.measures = {[](const Tensor& m, int64_t) { return squared_norm(m); }}});
}

Rule norm_rule(const Tensor& relative_energies) {
  return {
      .removed = [=](const Tensor& d, int64_t,
                     double strength) { return removed_from_norm(d, relative_energies, strength); },
      .measures = {[=](const Tensor& m, int64_t) {
        return weighted_squares(m, relative_energies);
      }},
      .add_to_curves =
          [=](const Tensor& d, int64_t, std::vector<DampingCurve>& curves) {
            add_all(curves[0], relative_energies,
                    d.to(at::kDouble).pow(2).cpu() * relative_energies);
          }};
}

Rule embedding_rule(const Tensor& row_energies) {
  return {.removed =
              [=](const Tensor& d, int64_t start, double strength) {
                return removed_from_embedding(d, rows_of(row_energies, d, start), strength);
              },
          .measures = {[=](const Tensor& m, int64_t start) {
            return weighted_squares(m, rows_of(row_energies, m, start).unsqueeze(1));
          }},
          .add_to_curves =
              [=](const Tensor& d, int64_t start, std::vector<DampingCurve>& curves) {
                const Tensor rows = rows_of(row_energies, d, start);
                add_all(curves[0], rows, d.to(at::kDouble).pow(2).sum(1).cpu() * rows);
              }};
}

Rule tied_embedding_rule(const Tensor& row_energies, const Subspace& head) {
  Rule rule = embedding_rule(row_energies);
  rule.removed = [=, &head](const Tensor& d, int64_t start, double strength) {
    return removed_from_tied_embedding(d, rows_of(row_energies, d, start), head, strength);
  };
  rule.measures.emplace_back([&head](const Tensor& m, int64_t) { return head.root.response(m); });
  rule.through_root = {
      .measure = 1,
      .root = head.root,
      .solve = [=, &head](const Tensor& d, const Tensor& image, int64_t start, double strength) {
        return solve_tied_embedding(d, image, rows_of(row_energies, d, start), head, strength);
      }};
  rule.add_to_curves = [=, &head](const Tensor& d, int64_t start,
                                  std::vector<DampingCurve>& curves) {
    add_tied_curves(d, rows_of(row_energies, d, start), head, curves);
  };
  return rule;
}

Rule uniform_rule(Rule rule) {
  rule.removed = [](const Tensor& d, int64_t, double strength) {
    return removed_from_bias(d, strength);
  };
  if (rule.through_root) {
    rule.through_root->solve = [](const Tensor& d, const Tensor& image, int64_t, double strength) {
      return SolvedThroughRoot{removed_from_bias(d, strength),
                               image - removed_from_bias(image, strength)};
    };
  }
  rule.add_to_curves = [measures = rule.measures](const Tensor& d, int64_t start,
                                                  std::vector<DampingCurve>& curves) {
    for (size_t i = 0; i < measures.size(); ++i) curves[i].add(1, measures[i](d, start));
  };
  return rule;
}

Rule base_rule() {
  Rule rule = keep_rule();
  rule.goes_back = [](const Tensor& d, int64_t) {
    return at::ones(d.sizes(), d.options().dtype(at::kBool));
  };
  return rule;
}

Rule keep_rule() {
  return {.removed = [](const Tensor& d, int64_t, double) { return at::zeros_like(d); }};
}

}  // namespace sagesan
