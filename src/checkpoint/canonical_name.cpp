#include "sagesan/checkpoint/canonical_name.h"

#include <algorithm>
#include <array>

namespace sagesan {
namespace {

constexpr std::array<std::string_view, 8> kWrappers = {
    "module.",      "_orig_mod.", "base_model.",     "model.",
    "transformer.", "gpt_neox.",  "language_model.", "backbone.",
};

}  // namespace

std::string_view canonical_name(std::string_view name) {
  while (true) {
    const auto* wrapper =
        std::find_if(kWrappers.begin(), kWrappers.end(), [&](std::string_view candidate) {
          return name.size() > candidate.size() && name.starts_with(candidate);
        });
    if (wrapper == kWrappers.end()) return name;
    name.remove_prefix(wrapper->size());
  }
}

}  // namespace sagesan
