#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "sagesan/checkpoint/update_vector.h"
#include "sagesan/model/parameters.h"
#include "sagesan/sanitize/method.h"
#include "sagesan/sanitize/name_filter.h"

namespace sagesan {

/// What is done with a changed tensor.
enum class Treatment {
  kSolve,  ///< closed form
  kKeep,   ///< the unlearned bytes
  kBase,   ///< the base values in the unlearned dtype
};

/// "solved", "kept", "base": the name in reports.
std::string_view treatment_name(Treatment treatment);

/// One changed tensor, or what one expert has of a changed tensor of all experts.
struct PlannedTensor {
  const Update* update;
  std::optional<Parameter> parameter;  ///< absent for tensors that the family does not know
  Treatment treatment = Treatment::kKeep;
  std::optional<int64_t> expert = {};

  /// The tensor's name; "name[3]" for an expert's part.
  std::string name() const;
  /// Its own shape: of an expert's part, that of the matrix.
  std::vector<int64_t> shape() const;
  MatrixView view() const { return parameter->view(expert); }
  /// Where the elements of an expert's part start in the tensor's data; else 0.
  int64_t first_element() const {
    return expert ? view().start * update->unlearned.info->shape.back() : 0;
  }
  /// Where the input of a solved one is observed.
  Site site() const { return expert ? parameter->expert_site(*expert) : parameter->site; }
};

/// The update vector seen through the model: what is done with each changed tensor and which sites
/// must be observed for it.
struct Plan {
  /// Changed ones, in the update vector's order; without a stored copy of a tied head.
  std::vector<PlannedTensor> tensors;
  std::set<Site> sites;
};

/// `update_vector` must outlive the plan. Tensors that `filter` does not select are kept, and what
/// `method` has no form for.
Plan make_plan(const UpdateVector& update_vector, const ModelMap& model, Method method,
               OtherPolicy other, const NameFilter& filter);

}  // namespace sagesan
