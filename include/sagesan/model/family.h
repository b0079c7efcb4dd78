#pragma once

#include <span>
#include <string_view>

#include "sagesan/model/configuration.h"

namespace sagesan {

/// One model family: its own file in src/model/families/ and one row of the table in family.cpp.
struct Family {
  std::string_view name;
  std::string_view architecture;  ///< as in config.json's `architectures`
  ModelConfiguration (*configure)(const JsonObject& config);
};

std::span<const Family> families();

ModelConfiguration configure_llama(const JsonObject& config);
ModelConfiguration configure_mistral(const JsonObject& config);
ModelConfiguration configure_qwen2(const JsonObject& config);

}  // namespace sagesan
