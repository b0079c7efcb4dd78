#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "sagesan/checkpoint/update_vector.h"
#include "sagesan/model/parameters.h"

namespace sagesan {

/// What happens to changed parameters that are no linear modules: `--other`.
enum class OtherPolicy {
  kShrink,  ///< the closed form with the second moment of their own input
  kKeep,    ///< the unlearned values
  kBase,    ///< the base values
};

std::string_view other_policy_name(OtherPolicy policy);

enum class Treatment {
  kSolve,  ///< closed form
  kKeep,   ///< the unlearned bytes
  kBase,   ///< the base values in the unlearned dtype
};

struct PlannedTensor {
  const Update* update;
  std::optional<Parameter> parameter;  ///< absent for tensors that the family does not know
  Treatment treatment = Treatment::kKeep;
};

/// The update vector seen through the model: what is done with each changed tensor and which sites
/// must be observed for it.
struct Plan {
  /// Changed ones, in the update vector's order; without a stored copy of a tied head.
  std::vector<PlannedTensor> tensors;
  std::set<Site> sites;
  /// Number of layers of the base model that must run: up to the last one with a wanted site,
  /// all of them where the final norm's or the head's input is wanted.
  int64_t layers_to_run(const ModelConfiguration& model) const;
  bool needs_final_norm(const ModelConfiguration& model) const;
};

/// `update_vector` must outlive the plan.
Plan make_plan(const UpdateVector& update_vector, const ModelConfiguration& model,
               OtherPolicy other);

}  // namespace sagesan
