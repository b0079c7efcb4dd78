#include "sagesan/text/metaspace.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "sagesan/support/error.h"
#include "sagesan/support/utf8.h"
#include "sagesan/text/component.h"

namespace sagesan::tokenization {
namespace {

enum class Prepend { kAlways, kFirst, kNever };

Prepend read_scheme(const JsonObject& object) {
  const std::string name = object.string_or("prepend_scheme", "always");
  if (name != "always" && name != "first" && name != "never") {
    object.fail("prepend_scheme", quote(name) + " is not supported");
  }
  const bool legacy_never = !object.boolean_or("add_prefix_space", true);
  if (legacy_never && name != "never" && object.find("prepend_scheme") != nullptr) {
    object.fail("add_prefix_space", "contradicts the prepend_scheme " + quote(name));
  }
  if (legacy_never || name == "never") return Prepend::kNever;
  return name == "first" ? Prepend::kFirst : Prepend::kAlways;
}

/// Cuts [begin, end of `text`) in front of every `mark`.
void cut_at_marks(const std::string& text, size_t begin, std::string_view mark,
                  std::vector<Span>& spans) {
  while (begin < text.size()) {
    // Within UTF-8 no character is found inside another.
    const size_t end = std::min(text.find(mark, begin + 1), text.size());
    spans.push_back({begin, end});
    begin = end;
  }
}

}  // namespace

PreTokenizer read_metaspace(const Json& component, const std::string& where, bool placed) {
  require_known_keys(
      component, where,
      {"type", "replacement", "add_prefix_space", "prepend_scheme", "split", "str_rep"});
  const JsonObject object(component, where);
  const std::string mark = object.string("replacement");
  if (mark.empty() || decode_utf8(mark, 0).length != mark.size()) {
    object.fail("replacement", fmt::format("expected one character, found {}", quote(mark)));
  }
  const Prepend prepend = read_scheme(object);
  if (prepend == Prepend::kFirst && !placed) {
    object.fail("prepend_scheme",
                "'first' is not supported behind what adds or removes characters");
  }
  const bool cut = object.boolean_or("split", true);
  return [mark, prepend, cut](Pieces& pieces) {
    Pieces result{.text = {}, .spans = {}, .at_start = pieces.at_start};
    for (const Span& span : pieces.spans) {
      const std::string_view piece = pieces.piece(span);
      const size_t begin = result.text.size();
      const bool asked = prepend == Prepend::kAlways ||
                         (prepend == Prepend::kFirst && pieces.at_start && span.begin == 0);
      if (asked && !piece.starts_with(' ') && !piece.starts_with(mark)) result.text += mark;
      for (const char byte : piece) byte == ' ' ? result.text += mark : result.text += byte;
      if (cut) {
        cut_at_marks(result.text, begin, mark, result.spans);
      } else {
        result.spans.push_back({begin, result.text.size()});
      }
    }
    pieces = std::move(result);
  };
}

}  // namespace sagesan::tokenization
