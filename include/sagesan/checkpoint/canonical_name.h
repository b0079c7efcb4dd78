#pragma once

#include <string_view>

namespace sagesan {

/// A tensor's or module's name without the wrappers around the model: `module.` (DataParallel),
/// `_orig_mod.` (torch.compile), `base_model.` (peft), and the base model's own attribute:
/// `model.`, `transformer.` (GPT-2), `gpt_neox.`, `language_model.`, `backbone.`, in any order and
/// number. So "base_model.model.transformer.h.0.ln_1.weight" and "h.0.ln_1.weight" are one. Never
/// empty unless `name` is; a view into `name`.
std::string_view canonical_name(std::string_view name);

}  // namespace sagesan
