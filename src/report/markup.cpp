#include "sagesan/report/markup.h"

#include <fmt/format.h>

#include "sagesan/support/error.h"
#include "sagesan/support/utf8.h"

namespace sagesan {
namespace {

std::string_view entity(char32_t c) {
  switch (c) {
    case '&':
      return "&amp;";
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '"':
      return "&quot;";
    case '\'':
      return "&#39;";
    default:
      return {};
  }
}

}  // namespace

std::string escape_markup(std::string_view text) {
  const std::string safe = printable(text);  // valid UTF-8 without control characters
  std::string result;
  for (size_t position = 0; position < safe.size();) {
    const Utf8Character character = decode_utf8(safe, position);
    const std::string_view replacement = entity(character.code_point);
    if (!replacement.empty()) {
      result += replacement;
    } else if (character.code_point == 0xFFFE || character.code_point == 0xFFFF) {
      result += fmt::format("\\u{{{:x}}}", static_cast<uint32_t>(character.code_point));
    } else {
      result += safe.substr(position, character.length);
    }
    position += character.length;
  }
  return result;
}

}  // namespace sagesan
