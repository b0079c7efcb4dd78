#include "sagesan/support/utf8.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "sagesan/support/error.h"

namespace sagesan {
namespace {

TEST(Utf8, EveryScalarValueSurvivesTheWayThereAndBack) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    append_utf8(text, c);
    const Utf8Character decoded = decode_utf8(text, 0);
    ASSERT_TRUE(decoded.valid) << static_cast<uint32_t>(c);
    ASSERT_EQ(decoded.code_point, c);
    ASSERT_EQ(decoded.length, text.size());
  }
}

TEST(Utf8, WhatIsInvalidIsReplacedOnceForEachStartOfACharacter) {
  const std::string mark = "\xEF\xBF\xBD";
  EXPECT_EQ(replace_invalid_utf8("a\xC3\xA9"), "a\xC3\xA9");
  EXPECT_EQ(replace_invalid_utf8("\xE2\x82"), mark);                    // cut short
  EXPECT_EQ(replace_invalid_utf8("\xF0\x9F\x92z"), mark + "z");         // likewise
  EXPECT_EQ(replace_invalid_utf8("\x80\xBF"), mark + mark);             // begin nothing
  EXPECT_EQ(replace_invalid_utf8("\xE0\x80"), mark + mark);             // overlong
  EXPECT_EQ(replace_invalid_utf8("\xED\xA0\x80"), mark + mark + mark);  // a surrogate
  EXPECT_EQ(replace_invalid_utf8("\xF5\x80"), mark + mark);             // past U+10FFFF
}

TEST(Utf8, MalformedSequencesAreInvalidAndOneByteLong) {
  const std::vector<std::string> malformed = {
      "\x80",              // continuation without a lead
      "\xC0\x80",          // overlong NUL
      "\xC1\xBF",          // overlong, two bytes
      "\xE0\x9F\xBF",      // overlong, three bytes
      "\xF0\x8F\xBF\xBF",  // overlong, four bytes
      "\xED\xA0\x80",      // first surrogate
      "\xED\xBF\xBF",      // last surrogate
      "\xF4\x90\x80\x80",  // past U+10FFFF
      "\xF5\x80\x80\x80",  // no such lead
      "\xFF",              //
      "\xE2\x82",          // cut short
      "\xE2\x28\xA1",      // no continuation
      "\xF0\x9F\x98",      // cut short
  };
  for (const std::string& text : malformed) {
    const Utf8Character character = decode_utf8(text, 0);
    EXPECT_FALSE(character.valid) << quote(text);
    EXPECT_EQ(character.length, 1U) << quote(text);
    EXPECT_EQ(find_invalid_utf8("ab" + text), 2U) << quote(text);
  }
}

TEST(Utf8, ValidTextHasNoInvalidByte) {
  EXPECT_EQ(find_invalid_utf8(""), std::string_view::npos);
  EXPECT_EQ(find_invalid_utf8("a\u00e9\u20ac\U0001F600"), std::string_view::npos);
  EXPECT_EQ(find_invalid_utf8("\u00e9\u20ac\xFF"), 5U);
}

TEST(Utf8, WhatMovesOrHidesTextIsUnsafeOnATerminal) {
  for (const char32_t c : {0x00, 0x1B, 0x1F, 0x7F, 0x9B, 0x200B, 0x200F, 0x202E, 0x2028, 0x2066,
                           0x2069, 0x061C, 0xFEFF}) {
    EXPECT_TRUE(is_unsafe_on_terminal(c)) << static_cast<uint32_t>(c);
  }
  for (const char32_t c : {0x20, 0x7E, 0xA0, 0xE9, 0x4E2D, 0x1F600}) {
    EXPECT_FALSE(is_unsafe_on_terminal(c)) << static_cast<uint32_t>(c);
  }
}

TEST(Quote, ShowsEscapesForWhatATerminalWouldObey) {
  EXPECT_EQ(quote("model.norm"), "'model.norm'");
  EXPECT_EQ(quote(""), "''");
  EXPECT_EQ(quote("a\nb\x1B[31m"), "'a\\u{a}b\\u{1b}[31m'");
  EXPECT_EQ(quote(std::string("a\0b", 3)), "'a\\u{0}b'");
  EXPECT_EQ(quote("\u202Egpj"), "'\\u{202e}gpj'");
  EXPECT_EQ(quote("\xFFz"), "'\\xffz'");
  EXPECT_EQ(quote("\u00e9"), "'\u00e9'");
}

TEST(Quote, CutsLongTextsAtWholeCharacters) {
  const std::string quoted = quote(std::string(1 << 20, 'x'));
  EXPECT_EQ(quoted, "'" + std::string(200, 'x') + "... (1048576 bytes)'");
  std::string wide;
  for (int i = 0; i < 100; ++i) wide += "\u20ac";
  EXPECT_EQ(find_invalid_utf8(quote(wide)), std::string_view::npos);
}

}  // namespace
}  // namespace sagesan
