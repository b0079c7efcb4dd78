#pragma once

#include <functional>
#include <string_view>

namespace sagesan {

/// Called as work goes on: `stage` names it, `done` of `total` steps are finished. It may throw
/// `Interrupted`; every stage is safe to leave at such a call.
using Progress = std::function<void(std::string_view stage, double done, double total)>;

}  // namespace sagesan
