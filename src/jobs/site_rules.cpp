#include "site_rules.h"

#include <algorithm>
#include <limits>

#include "sagesan/sanitize/error_feedback.h"
#include "sagesan/support/error.h"
#include "sagesan/support/hash.h"

namespace sagesan {
namespace {

/// A seed for the control's directions: the site's own, the same in every run.
uint64_t seed_of(const std::string& site) {
  Hasher hasher;
  hasher.add_text(site);
  return std::stoull(hasher.hex().substr(0, 16), nullptr, 16);
}

}  // namespace

Filter plain_filter(const SanitizeOptions& options) {
  Filter filter{.strength = options.strength, .gain = options.carrier_gain};
  if (options.method == Method::kNullspace)
    filter.strength = std::numeric_limits<double>::infinity();
  return filter;
}

bool needs_no_directions(const SanitizeOptions& options, bool has_rows, bool tied_head) {
  const bool every = uses_every_direction(options.method);
  return (every || (options.method == Method::kSage && options.energy == 1)) &&
         !options.target_bias && !has_rows && !tied_head;
}

SiteRules::SubspaceKey SiteRules::key_of(const SanitizeOptions& user) {
  return {uses_every_direction(user.method) ? 1 : user.energy, user.method == Method::kRandom};
}

SiteRules::SiteRules(const Site& site, const SiteMoment& moment, double reference_trace,
                     const std::string& origin, const std::vector<const SanitizeOptions*>& users,
                     const ForgetMoment& forget, bool tied_head)
    : site_(site) {
  if (const auto* diagonal = std::get_if<DiagonalMoment>(&moment)) {
    energies_ =
        site.is_embedding() ? embedding_energies(*diagonal) : norm_energies(*diagonal, origin);
    return;
  }
  const auto& second = std::get<SecondMoment>(moment);
  const bool feedback = std::any_of(users.begin(), users.end(),
                                    [](const auto* user) { return user->rounding_feedback; });
  if (feedback) feedback_ = feedback_factor(second, origin);
  const auto is_anchored = [&](const SanitizeOptions& user) {
    return user.method == Method::kForgetAware && forget.moment != nullptr;
  };
  const auto is_ridge = [&](const SanitizeOptions& user) {
    return needs_no_directions(user, second.has_rows(), tied_head);
  };
  double energy = 0;  // the largest for which directions are needed
  for (const SanitizeOptions* user : users) {
    if (user->method != Method::kRollback && !is_anchored(*user) && !is_ridge(*user))
      energy = std::max(energy, key_of(*user).first);
  }
  std::optional<Spectrum> spectrum;
  for (const SanitizeOptions* user : users) {
    const auto key = key_of(*user);
    if (user->method == Method::kRollback) {
      if (!matrix_) matrix_.emplace(second, origin);
    } else if (is_anchored(*user)) {
      anchors_.try_emplace(user->anchor_floor, second, reference_trace, forget.moment,
                           forget.reference_trace, user->anchor_floor, origin);
    } else if (is_ridge(*user) && energy < 1) {
      if (!ridge_) ridge_.emplace(second, reference_trace, nullptr, 0, 1, origin);
      subspaces_.try_emplace(key, Subspace{.rank = second.channels(), .energy_share = 1});
    } else if (!subspaces_.contains(key)) {
      if (!spectrum) spectrum.emplace(second, energy, origin, reference_trace);
      Subspace subspace = spectrum->leading(key.first);
      if (key.second) subspace = with_random_directions(std::move(subspace), seed_of(site.name()));
      subspaces_.emplace(key, std::move(subspace));
    }
  }
}

const Subspace* SiteRules::subspace(const SanitizeOptions& user) const {
  const auto found = subspaces_.find(key_of(user));
  return user.method == Method::kRollback || found == subspaces_.end() ? nullptr : &found->second;
}

Rule SiteRules::linear_or_diagonal(const SanitizeOptions& user, const PlannedTensor& tensor) const {
  if (site_.is_embedding()) return embedding_rule(energies_);
  if (site_.is_norm()) return norm_rule(energies_);
  if (const auto found = anchors_.find(user.anchor_floor);
      user.method == Method::kForgetAware && found != anchors_.end())
    return forget_aware_rule(found->second, plain_filter(user).strength);
  const SubspaceKey key = key_of(user);
  if (!subspaces_.at(key).directions.defined())
    return forget_aware_rule(*ridge_, plain_filter(user).strength);
  return linear_rule(subspaces_.at(key), keeps_products_
                                             ? &products_[{key, tensor.update, tensor.view().start}]
                                             : nullptr);
}

Rule SiteRules::rule(const SanitizeOptions& user, const PlannedTensor& tensor,
                     const Tensor& embedding) const {
  SAGESAN_ASSERT(user.method != Method::kRollback);
  Rule rule = tensor.parameter->head ? tied_embedding_rule(embedding, subspaces_.at(key_of(user)))
                                     : linear_or_diagonal(user, tensor);
  if (user.method == Method::kScale) rule = uniform_rule(std::move(rule));
  if (user.rounding_feedback && !tensor.parameter->head) rule.feedback = feedback_;
  return rule;
}

Channels SiteRules::channels(const PlannedTensor& tensor, const Tensor& embedding) const {
  if (tensor.parameter->head) return tied_embedding_channels(embedding, *matrix_);
  if (matrix_) return linear_channels(*matrix_);
  return site_.is_norm() ? norm_channels(energies_) : embedding_channels(energies_);
}

}  // namespace sagesan
