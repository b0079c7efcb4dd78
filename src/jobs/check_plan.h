#pragma once

#include "sagesan/sanitize/plan.h"
#include "sanitize_inputs.h"

namespace sagesan {

/// Compares the pair. Throws `InputError` where nothing changed.
UpdateVector compare_pair(const SanitizeOptions& options, const SanitizeInputs& inputs,
                          const Progress& progress);

/// What can only be judged once the pair was compared: whether anything is left to sanitize, and
/// whether collected moments are those of the model and of the sites. Throws `InputError`.
void check_plan(const SanitizeOptions& options, const SanitizeInputs& inputs,
                const UpdateVector& updates, const Plan& plan);

}  // namespace sagesan
