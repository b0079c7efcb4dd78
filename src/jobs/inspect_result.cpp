#include <nlohmann/json.hpp>

#include "sagesan/jobs/inspect.h"

namespace sagesan {

Json InspectResult::to_json() const {
  const auto or_null = [](const auto& value) { return value ? Json(*value) : Json(nullptr); };
  Json json = {{"architecture", architecture.empty() ? Json(nullptr) : Json(architecture)},
               {"base", {{"identity", base_identity}}},
               {"unlearned", {{"identity", unlearned_identity}}},
               {"tensors", tensors_total},
               {"changed", Json::array()}};
  for (const ChangedTensor& row : changed) {
    json["changed"].push_back({{"name", row.name},
                               {"kind", row.kind},
                               {"layer", or_null(row.layer)},
                               {"dtype", row.dtype},
                               {"shape", row.shape},
                               {"update_norm", or_null(row.update_norm)},
                               {"relative_norm", or_null(row.relative_norm)}});
  }
  return json;
}

}  // namespace sagesan
