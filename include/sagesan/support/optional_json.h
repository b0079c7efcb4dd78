#pragma once

#include <nlohmann/json.hpp>
#include <optional>

#include "sagesan/support/json.h"

namespace sagesan {

/// What reports say of a figure that may be missing.
template <typename Value>
Json or_null(const std::optional<Value>& value) {
  return value ? Json(*value) : Json(nullptr);
}

}  // namespace sagesan
