#pragma once

#include <cstdint>
#include <vector>

#include "sagesan/evaluate/generation_settings.h"
#include "sagesan/model/decoder.h"
#include "sagesan/support/progress.h"

namespace sagesan {

/// What the model goes on with behind each of `prompts` (ids in the vocabulary, none empty): always
/// the likeliest token, up to one that ends the text, which is left out, to the limit, or to the
/// end of learned positions. Before a token is chosen, the logits of those that the text has
/// already are divided by the repetition penalty, multiplied where they are negative
/// (`generate(do_sample=False)` of transformers). All texts of a group go in lockstep: each step
/// runs every layer once for all that have not ended. Throws `InputError` where logits are not
/// finite.
std::vector<std::vector<int64_t>> generate(const ModelConfiguration& model,
                                           const Checkpoint& checkpoint,
                                           const std::vector<std::vector<int64_t>>& prompts,
                                           const GenerationSettings& settings,
                                           const GenerationLimits& limits, at::Device device,
                                           const Progress& progress);

}  // namespace sagesan
