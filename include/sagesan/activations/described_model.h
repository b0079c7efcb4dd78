#pragma once

#include "sagesan/activations/moments_header.h"
#include "sagesan/checkpoint/checkpoint.h"
#include "sagesan/model/parameters.h"

namespace sagesan {

/// The model that a moments file describes in its `__metadata__` under "model", because its family
/// is not known here: whoever collected the moments ran it (scripts/collect_moments). It is JSON:
///
///     {"architecture": "StableLmForCausalLM",
///      "tied_head": "lm_head.weight",          where the head is tied and may be stored too
///      "parameters": {"model.layers.0.mlp.up_proj.weight": {"kind": "linear", "site": "..."}}}
///
/// `kind` is "linear", "bias", "norm", "embedding" or "tied_embedding", `site` one of the file's
/// (none for a bias), `head` a tied embedding's other site, `transposed` true for weights `[in,
/// out]`. Tensors that it leaves out are copied.
///
/// Throws `InputError` for what contradicts itself, the file's sites or the tensors of `base`.
ModelMap read_described_model(const MomentsHeader& moments, const Checkpoint& base);

}  // namespace sagesan
