#include "sagesan/text/pattern.h"

#include <nlohmann/json.hpp>

#include "sagesan/support/error.h"
#include "sagesan/text/component.h"

namespace sagesan::tokenization {

Regex read_pattern(const Json& pattern, const std::string& where) {
  const JsonObject object(pattern, where);
  require_known_keys(pattern, where, {"Regex", "String"});
  if (pattern.size() != 1) throw InputError(where, "expected one of 'Regex' and 'String'");
  if (object.find("Regex") != nullptr) return Regex::compile(object.string("Regex"), where);
  return Regex::literal(object.string("String"), where);
}

}  // namespace sagesan::tokenization
