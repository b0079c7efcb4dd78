#pragma once

#include <string_view>

namespace sagesan {

/// How the update of linear modules is filtered: `--method`.
enum class Method {
  kSage,         ///< the dominant subspace, damped by strength and relative energy
  kRidge,        ///< the same with every direction: energy 1
  kNullspace,    ///< the dominant subspace projected out: infinite strength (GPM, AlphaEdit)
  kScale,        ///< the whole update divided by 1 + strength, whatever its directions
  kRandom,       ///< a control: sage with random directions of the same spectrum
  kRollback,     ///< the channels with the largest bias per unit of update go back to the base
  kForgetAware,  ///< every direction, anchored by what the forget texts feed into the module
};

std::string_view method_name(Method method);

/// Whether it takes all directions and not the dominant ones: energy 1.
inline bool uses_every_direction(Method method) {
  return method == Method::kRidge || method == Method::kForgetAware;
}

/// What the command line takes where somebody leaves the strength to it: of the settings tried in
/// docs/evidence.md that with the least worst regret.
struct DefaultSetting {
  double strength, carrier_gain;
};

constexpr DefaultSetting default_setting(Method method) {
  switch (method) {
    case Method::kForgetAware:
      return {3, 1.5};
    case Method::kSage:
    case Method::kRidge:
    case Method::kRandom:
      return {1, 1.5};
    default:
      return {1, 1};
  }
}

/// What happens to changed parameters that are no linear modules: `--other`.
enum class OtherPolicy {
  kShrink,  ///< the closed form with the second moment of their own input
  kKeep,    ///< the unlearned values
  kBase,    ///< the base values
};

std::string_view other_policy_name(OtherPolicy policy);

}  // namespace sagesan
