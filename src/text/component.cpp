#include "sagesan/text/component.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "sagesan/support/error.h"

namespace sagesan::tokenization {

void require_known_keys(const Json& object, const std::string& where,
                        std::initializer_list<std::string_view> known) {
  for (const auto& item : object.items()) {
    if (std::find(known.begin(), known.end(), item.key()) == known.end()) {
      throw InputError(where, fmt::format("the option {} is not supported", quote(item.key())));
    }
  }
}

std::string component_type(const Json& component, const std::string& where) {
  return JsonObject(component, where).string_or("type", "");
}

std::string token_content(const Json& token, const std::string& where) {
  if (token.is_string()) return token.get<std::string>();
  if (token.is_object()) return JsonObject(token, where).string("content");
  throw InputError(where, fmt::format("expected a token, found {}", token.type_name()));
}

void refuse_type(const std::string& where, std::string_view type) {
  throw InputError(where, fmt::format("type {} is not supported", quote(type)));
}

const Json& sequence_elements(const Json& component, const std::string& where,
                              std::string_view key) {
  const JsonObject object(component, where);
  const Json& elements = object.require(key);
  if (!elements.is_array()) {
    object.fail(key, fmt::format("expected an array, found {}", elements.type_name()));
  }
  return elements;
}

void for_each_step(const Json& component, const std::string& where, std::string_view key,
                   const std::function<void(const Json& step, const std::string& type,
                                            const std::string& where)>& visit) {
  const std::string type = component_type(component, where);
  if (type != "Sequence") return visit(component, type, where);
  require_known_keys(component, where, {"type", key});
  size_t i = 0;
  for (const Json& step : sequence_elements(component, where, key))
    for_each_step(step, fmt::format("{}[{}]", where, i++), key, visit);
}

void check_growth(size_t before, size_t now, const std::string& where) {
  if (now <= 1024 || now / 32 <= before) return;
  throw InputError(where, fmt::format("makes a text of {} bytes one of {} or more: more than 32 "
                                      "times as long is not supported",
                                      before, now));
}

}  // namespace sagesan::tokenization
