#pragma once

#include <optional>
#include <string>
#include <vector>

namespace sagesan {

/// Where in the model a tensor or a site is, by its name alone: reports hold no model.
struct TensorPlace {
  std::optional<int64_t> layer;  ///< the first number in the name
  std::string module;  ///< what comes behind it, without "weight"; further numbers are "*"
};

/// "model.layers.3.mlp.experts.5.up_proj.weight" -> layer 3, "mlp.experts.*.up_proj".
TensorPlace tensor_place(const std::string& name);

/// For each module its last part where no other one has the same, otherwise the whole.
std::vector<std::string> short_names(const std::vector<std::string>& modules);

}  // namespace sagesan
