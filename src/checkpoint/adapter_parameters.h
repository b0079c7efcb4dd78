#pragma once

#include <map>
#include <string>
#include <vector>

#include "sagesan/checkpoint/adapter.h"

namespace sagesan {

/// The base's tensors by canonical name; some names stand for several.
using CanonicalNames = std::map<std::string, std::vector<StoredTensor>>;

/// A parameter of a module that target_parameters names: a tensor of the base, or the tensors of
/// single experts that it consists of.
struct TargetedParameter {
  std::string name;                 ///< in its module: "gate_up_proj"
  std::vector<int64_t> shape;       ///< of the whole
  std::vector<StoredTensor> parts;  ///< the tensor; or the first expert's, the second's, ...
  size_t parts_per_expert = 0;      ///< 0: one whole tensor
};

/// Whether target_parameters names the parameter `name` (peft: tuners/tuners_utils.py
/// `_inject_parameters`).
bool is_targeted(const Adapter& adapter, const std::string& name);

/// The targeted parameters of the module that peft names `key`. Throws `InputError` where the
/// experts of a fused one differ.
std::vector<TargetedParameter> targeted_parameters(const Adapter& adapter, const std::string& key,
                                                   const CanonicalNames& base);

/// Which of `parameters` each of the modules wrapped around `key` adapts, outermost first. The
/// shapes must allow one answer: else `InputError`.
std::vector<size_t> assign_parameters(const Adapter& adapter, const std::string& key,
                                      const std::vector<const AdapterModule*>& modules,
                                      const std::vector<TargetedParameter>& parameters,
                                      const std::filesystem::path& base);

/// `key` as Mixtral's checkpoints spell it; the same where nothing is renamed (transformers:
/// conversion_mapping.py "mixtral").
std::string checkpoint_spelling(const std::string& key);

}  // namespace sagesan
