#include "sagesan/text/post_processor.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "sagesan/support/error.h"
#include "sagesan/text/component.h"
#include "sagesan/text/model.h"

namespace sagesan::tokenization {
namespace {

std::vector<int64_t> special_ids(const JsonObject& table, const std::string& name) {
  const Json& entry = table.require(name);
  const std::string where = fmt::format("{}: {}", table.where(), quote(name));
  std::vector<int64_t> ids;
  for (const Json& id : sequence_elements(entry, where, "ids")) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() > kMaxTokenId) {
      throw InputError(where, "key 'ids': expected token ids");
    }
    ids.push_back(id.get<int64_t>());
  }
  return ids;
}

PostProcessor template_processing(const Json& component, const std::string& where) {
  require_known_keys(component, where, {"type", "single", "pair", "special_tokens"});
  const JsonObject object(component, where);
  const Json none = Json::object();
  const Json* table = object.find("special_tokens");
  const JsonObject special(table != nullptr ? *table : none, where + ": special_tokens");
  PostProcessor result;
  size_t texts = 0;
  for (const Json& piece : sequence_elements(component, where, "single")) {
    const JsonObject part(piece, where + ": single");
    require_known_keys(piece, part.where(), {"Sequence", "SpecialToken"});
    if (part.find("Sequence") != nullptr) {
      ++texts;
      continue;
    }
    const JsonObject token(part.require("SpecialToken"), part.where());
    std::vector<int64_t>& side = texts == 0 ? result.before : result.after;
    for (const int64_t id : special_ids(special, token.string("id"))) side.push_back(id);
  }
  if (texts != 1) object.fail("single", "expected the text exactly once");
  return result;
}

/// One token before, one behind: pairs of text and id under "cls" and "sep".
PostProcessor cls_and_sep(const Json& component, const std::string& where) {
  // Both flags concern positions in the text, never ids.
  require_known_keys(component, where, {"type", "sep", "cls", "trim_offsets", "add_prefix_space"});
  const JsonObject object(component, where);
  const auto id_of = [&](std::string_view key) -> int64_t {
    const Json& token = object.require(key);
    if (!token.is_array() || token.size() != 2 || !token[0].is_string() ||
        !token[1].is_number_integer() || token[1] < 0 || token[1] > kMaxTokenId) {
      object.fail(key, "expected a token and its id");
    }
    return token[1].get<int64_t>();
  };
  return {.before = {id_of("cls")}, .after = {id_of("sep")}};
}

PostProcessor sequence_of(const Json& component, const std::string& where) {
  require_known_keys(component, where, {"type", "processors"});
  PostProcessor result;
  size_t index = 0;
  for (const Json& step : sequence_elements(component, where, "processors")) {
    // Each wraps what the one before it made.
    const PostProcessor outer = read_post_processor(&step, fmt::format("{}[{}]", where, index++));
    result.before.insert(result.before.begin(), outer.before.begin(), outer.before.end());
    result.after.insert(result.after.end(), outer.after.begin(), outer.after.end());
  }
  return result;
}

}  // namespace

PostProcessor read_post_processor(const Json* post_processor, const std::string& where) {
  if (post_processor == nullptr) return {};
  const std::string type = component_type(*post_processor, where);
  if (type == "Sequence") return sequence_of(*post_processor, where);
  if (type == "TemplateProcessing") return template_processing(*post_processor, where);
  if (type == "RobertaProcessing" || type == "BertProcessing") {
    return cls_and_sep(*post_processor, where);
  }
  if (type == "ByteLevel") {
    // Positions in the text alone.
    require_known_keys(*post_processor, where,
                       {"type", "add_prefix_space", "trim_offsets", "use_regex"});
    return {};
  }
  refuse_type(where, type);
}

}  // namespace sagesan::tokenization
