#pragma once

#include <functional>
#include <string>
#include <vector>

#include "sagesan/activations/moments_file.h"
#include "sagesan/jobs/inspect.h"
#include "sagesan/sanitize/plan.h"

namespace sagesan {

/// The layer that the site belongs to; absent for embeddings, what comes after the last layer, and
/// sites of a model that a moments file describes.
std::optional<int64_t> layer_of(const Site& site);

/// Everything of these updates that has a measure, as `sanitize` would measure it.
Plan bias_plan(const UpdateVector& updates, const ModelMap& map);

/// Measures the updates of several models of one base, one plan each, on the moments of one file:
/// one moment is in memory at a time. `advance` is called after each tensor. Throws `InputError`
/// naming the file and the site, or the tensor, that cannot be measured.
MomentsBias measure_bias(const std::string& name, const MomentsFile& file,
                         const std::vector<Plan>& plans, const std::function<void()>& advance);

}  // namespace sagesan
