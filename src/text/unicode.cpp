#include "sagesan/text/unicode.h"

#include <unicode/uchar.h>

#include "sagesan/support/utf8.h"

namespace sagesan::tokenization {
namespace {

/// Where the last character of `text` begins.
size_t last_start(std::string_view text) {
  size_t position = text.size() - 1;
  while (position > 0 && (static_cast<unsigned char>(text[position]) & 0xC0) == 0x80) --position;
  return position;
}

UChar32 point(char32_t code_point) { return static_cast<UChar32>(code_point); }

}  // namespace

bool is_space(char32_t c) { return u_isUWhiteSpace(point(c)); }

bool is_numeric(char32_t c) {
  return (U_MASK(u_charType(point(c))) & (U_GC_ND_MASK | U_GC_NL_MASK | U_GC_NO_MASK)) != 0;
}

bool is_word(char32_t c) {
  constexpr uint32_t kCategories = U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK;
  return (U_MASK(u_charType(point(c))) & kCategories) != 0 ||
         u_hasBinaryProperty(point(c), UCHAR_ALPHABETIC) ||
         u_hasBinaryProperty(point(c), UCHAR_JOIN_CONTROL);
}

bool is_mark(char32_t c) {
  if (c == 0x1CF2 || c == 0x1CF3) return true;  // letters since Unicode 12
  if (c == 0x111C9) return false;               // punctuation until then
  UVersionInfo age;
  u_charAge(point(c), age);
  return age[0] <= 9 && (U_MASK(u_charType(point(c))) & U_GC_M_MASK) != 0;
}

bool is_punctuation(char32_t c) {
  if (c < 0x80) return c > 0x20 && c < 0x7F && !u_isalnum(point(c));
  if (c == 0x166D || c == 0x111C9) return true;  // no longer punctuation since Unicode 11 and 12
  UVersionInfo age;
  u_charAge(point(c), age);
  return age[0] <= 8 && (U_MASK(u_charType(point(c))) & U_GC_P_MASK) != 0;
}

char32_t last_character(std::string_view text) {
  return decode_utf8(text, last_start(text)).code_point;
}

size_t leading_space(std::string_view text) {
  size_t end = 0;
  while (end < text.size()) {
    const Utf8Character next = decode_utf8(text, end);
    if (!is_space(next.code_point)) break;
    end += next.length;
  }
  return end;
}

size_t trailing_space(std::string_view text) {
  size_t begin = text.size();
  while (begin > 0) {
    const size_t start = last_start(text.substr(0, begin));
    if (!is_space(decode_utf8(text, start).code_point)) break;
    begin = start;
  }
  return text.size() - begin;
}

}  // namespace sagesan::tokenization
