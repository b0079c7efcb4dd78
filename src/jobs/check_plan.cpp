#include "check_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "check_moments.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

/// Tensors of which an adapter stores one A must be filtered alike.
void check_shared_factors(const SanitizeOptions& options, const SanitizeInputs& inputs,
                          const Plan& plan) {
  if (options.output.format != OutputFormat::kAdapter) return;
  std::map<std::string, Treatment> treatments;
  for (const PlannedTensor& tensor : plan.tensors)
    treatments[tensor.update->name] = tensor.treatment;
  for (const auto& [name, treatment] : treatments) {
    for (const AdapterChange& change : inputs.unlearned.merged->changes(name)) {
      if (!change.low_rank) continue;
      for (const std::string& other : change.low_rank->shares_a_with) {
        const bool alike = options.method != Method::kRollback && treatments.at(other) == treatment;
        if (alike) continue;
        throw InputError(
            options.unlearned.string(),
            fmt::format("--out-format adapter: tensors {} and {} share an A, but {}; --out-format "
                        "full writes the merged model",
                        quote(name), quote(other),
                        options.method == Method::kRollback
                            ? "rollback chooses channels for each"
                            : "--include and --exclude select only one"));
      }
    }
  }
}

}  // namespace

UpdateVector compare_pair(const SanitizeOptions& options, const SanitizeInputs& inputs,
                          const Progress& progress) {
  UpdateVector updates = compare(inputs.base, inputs.unlearned.checkpoint, progress, inputs.hints,
                                 at::get_num_threads());
  if (updates.changed_count() == 0) {
    throw InputError(options.unlearned.string(),
                     "the checkpoints are identical: nothing to sanitize (a method that works at "
                     "inference, such as ECO prompts, leaves the weights as they were)");
  }
  return updates;
}

void check_plan(const SanitizeOptions& options, const SanitizeInputs& inputs,
                const UpdateVector& updates, const Plan& plan) {
  if (!options.include.empty() || !options.exclude.empty()) {
    const bool any = std::any_of(plan.tensors.begin(), plan.tensors.end(), [](const auto& tensor) {
      return tensor.treatment != Treatment::kKeep;
    });
    if (!any) {
      throw InputError(options.unlearned.string(),
                       "--include and --exclude leave no changed tensor to sanitize");
    }
  }
  check_shared_factors(options, inputs, plan);
  if (!inputs.moments) return;
  const bool unlearned = options.unlearned_activations;
  check_moments(*inputs.moments, unlearned ? updates.unlearned_identity : updates.base_identity,
                unlearned ? "unlearned one" : "base", plan.sites, inputs.map.parameters);
}

}  // namespace sagesan
