#pragma once

#include <string>

#include "sagesan/checkpoint/adapter.h"

namespace sagesan {

/// A base tensor that a module may adapt.
struct AdapterTarget {
  std::string name;            ///< for messages
  std::vector<int64_t> shape;  ///< two- or three-dimensional
  bool parameter = false;      ///< of target_parameters
};

/// Whether A runs along the rows of each matrix of the target, which is then stored `[in, out]`: an
/// embedding, a Conv1D, an expert of some models. Shapes decide; where they are square, the class
/// of the module does, which the base's config.json tells (peft: tuners/lora/layer.py
/// `dispatch_default`, `ParamWrapper.update_layer`). Throws `InputError` naming both shapes where
/// nothing fits, and where nothing decides.
bool runs_along_rows(const Adapter& adapter, const AdapterModule& module,
                     const AdapterTarget& target, const std::filesystem::path& base);

}  // namespace sagesan
