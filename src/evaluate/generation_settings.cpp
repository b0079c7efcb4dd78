#include "sagesan/evaluate/generation_settings.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "sagesan/support/error.h"
#include "sagesan/support/json.h"

namespace sagesan {
namespace {

constexpr const char* kEnd = "eos_token_id";

std::vector<int64_t> read_ends(const JsonObject& file) {
  const Json* value = file.find(kEnd);
  if (value == nullptr) return {};
  std::vector<int64_t> ids;
  for (const Json& id : value->is_array() ? *value : Json::array({*value})) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0) {
      file.fail(kEnd, fmt::format("expected a token id or a list of them, found {}", id.dump()));
    }
    ids.push_back(id.get<int64_t>());
  }
  return ids;
}

}  // namespace

GenerationSettings read_generation_settings(const std::filesystem::path& directory) {
  const std::filesystem::path own_path = directory / "generation_config.json";
  const Json own = read_optional_json_file(own_path);
  const JsonObject file(own, own_path.string());
  GenerationSettings settings{.end_ids = read_ends(file),
                              .repetition_penalty = file.number_or("repetition_penalty", 1)};
  if (settings.repetition_penalty <= 0)
    file.fail("repetition_penalty", "expected a positive number");
  if (file.find(kEnd) == nullptr) {
    const std::filesystem::path path = directory / "config.json";
    const Json config = read_optional_json_file(path);
    settings.end_ids = read_ends(JsonObject(config, path.string()));
  }
  return settings;
}

}  // namespace sagesan
