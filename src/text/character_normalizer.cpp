#include "sagesan/text/character_normalizer.h"

#include <unicode/uchar.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "sagesan/support/utf8.h"
#include "sagesan/text/byte_level.h"
#include "sagesan/text/component.h"
#include "sagesan/text/unicode.h"

namespace sagesan::tokenization {
namespace {

/// `append(result, c)` writes what becomes of a character.
template <typename Append>
Normalizer by_character(const Append& append) {
  return [append](std::string& text) {
    std::string result;
    result.reserve(text.size());
    for (size_t position = 0; position < text.size();) {
      const Utf8Character next = decode_utf8(text, position);
      append(result, next.code_point);
      position += next.length;
    }
    text = std::move(result);
  };
}

void append_lower(std::string& result, char32_t c) {
  if (c == 0x130) {  // the one character whose lower case is two
    result += "i\u0307";
  } else {
    append_utf8(result, static_cast<char32_t>(u_tolower(static_cast<UChar32>(c))));
  }
}

void append_without_accent(std::string& result, char32_t c) {
  if (!is_mark(c)) append_utf8(result, c);
}

/// What sentencepiece's "nmt" rules do besides NFKC.
void append_nmt(std::string& result, char32_t c) {
  const bool control = (c >= 0x1 && c <= 0x8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F ||
                       c == 0x8F || c == 0x9F;
  const bool space = c == 0x9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 ||
                     (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
                     c == 0xFEFF || c == 0xFFFD;
  if (space) {
    result += ' ';
  } else if (!control) {
    append_utf8(result, c);
  }
}

Normalizer strip(const Json& component, const std::string& where) {
  require_known_keys(component, where, {"type", "strip_left", "strip_right"});
  const JsonObject object(component, where);
  object.require("strip_left");
  object.require("strip_right");
  const bool left = object.boolean_or("strip_left", false);
  const bool right = object.boolean_or("strip_right", false);
  return [left, right](std::string& text) {
    if (right) text.resize(text.size() - trailing_space(text));
    if (left) text.erase(0, leading_space(text));
  };
}

}  // namespace

Normalizer read_character_normalizer(const std::string& type, const Json& component,
                                     const std::string& where) {
  if (type == "Strip") return strip(component, where);
  Normalizer result;
  if (type == "Lowercase") result = by_character(append_lower);
  if (type == "StripAccents") result = by_character(append_without_accent);
  if (type == "Nmt") result = by_character(append_nmt);
  if (type == "ByteLevel") {
    result = [](std::string& text) {
      std::string letters;
      append_byte_letters(letters, text);
      text = std::move(letters);
    };
  }
  if (result) require_known_keys(component, where, {"type"});
  return result;
}

}  // namespace sagesan::tokenization
