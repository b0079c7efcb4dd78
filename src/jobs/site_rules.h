#pragma once

#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "sagesan/activations/moments.h"
#include "sagesan/jobs/sanitize.h"
#include "sagesan/sanitize/forget_aware.h"
#include "sagesan/sanitize/plan.h"
#include "sagesan/sanitize/rollback.h"
#include "sagesan/sanitize/rules.h"
#include "sagesan/spectral/subspace.h"

namespace sagesan {

/// What the forget texts feed into a site; `moment` is null where no linear module reads there.
struct ForgetMoment {
  const SecondMoment* moment = nullptr;
  double reference_trace = 0;
};

/// The filter that the options say outright, without a target.
Filter plain_filter(const SanitizeOptions& options);

/// Whether a ridge system is solved instead: at energy 1 a finite strength needs no directions;
/// what tied rows and a target need are the eigenvalues, and rows have few.
bool needs_no_directions(const SanitizeOptions& options, bool has_rows, bool tied_head);

/// The moment of one site made ready for every method that asks for it: decomposed once, however
/// many energies are asked.
class SiteRules {
 public:
  /// `users` are those for which rules will be asked, by their methods; they must outlive this.
  /// `origin` names the site in errors; at a `tied_head` rows of an embedding read, which need
  /// directions at every energy. Throws as `Spectrum` and `norm_energies`.
  SiteRules(const Site& site, const SiteMoment& moment, double reference_trace,
            const std::string& origin, const std::vector<const SanitizeOptions*>& users,
            const ForgetMoment& forget, bool tied_head);

  /// From here on what tensors and strengths have in common is computed once and kept: for many
  /// strengths of one tensor.
  void keep_products() { keeps_products_ = true; }

  /// What `user` decomposed; null where its method needs no directions there.
  const Subspace* subspace(const SanitizeOptions& user) const;
  /// The rule of a tensor that reads here; not for rollback. `embedding` are the energies of the
  /// rows of an embedding whose head reads here. This must outlive the rule.
  Rule rule(const SanitizeOptions& user, const PlannedTensor& tensor,
            const Tensor& embedding) const;
  /// The same for rollback: among what it chooses.
  Channels channels(const PlannedTensor& tensor, const Tensor& embedding) const;
  /// e_v of an embedding's rows, n_j of a norm's channels; else undefined.
  const Tensor& energies() const { return energies_; }

 private:
  using SubspaceKey = std::pair<double, bool>;  ///< energy, and whether random
  static SubspaceKey key_of(const SanitizeOptions& user);
  Rule linear_or_diagonal(const SanitizeOptions& user, const PlannedTensor& tensor) const;

  Site site_;
  Tensor energies_;
  std::map<SubspaceKey, Subspace> subspaces_;
  /// By what was decomposed, tensor and first row of what its view shows.
  mutable std::map<std::tuple<SubspaceKey, const Update*, int64_t>, Products> products_;
  bool keeps_products_ = false;
  std::optional<MomentMatrix> matrix_;      ///< for rollback
  std::map<double, ForgetAnchor> anchors_;  ///< by floor
  std::optional<ForgetAnchor> ridge_;  ///< of no forget text, where energy 1 needs no directions
  Tensor feedback_;                    ///< where somebody rounds with it
};

}  // namespace sagesan
