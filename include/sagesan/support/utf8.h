#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sagesan {

/// One decoded character. An invalid byte is returned alone: `valid` false, `length` 1.
struct Utf8Character {
  char32_t code_point;
  size_t length;
  bool valid;
};

/// Decodes the character that starts at byte `position` (< text.size()) of UTF-8 `text`. Overlong
/// forms, surrogates and values past U+10FFFF are invalid (RFC 3629).
Utf8Character decode_utf8(std::string_view text, size_t position);

/// Appends `code_point` (a scalar value) to `text` as UTF-8.
void append_utf8(std::string& text, char32_t code_point);

/// Byte offset of the first invalid byte, or npos.
size_t find_invalid_utf8(std::string_view text);

/// `bytes` with U+FFFD in place of what is no UTF-8: one for each longest start of a character, as
/// Unicode recommends (chapter 3.9) and Rust's `String::from_utf8_lossy` does.
std::string replace_invalid_utf8(std::string_view bytes);

/// Control characters, and the marks that reorder or hide text.
bool is_unsafe_on_terminal(char32_t code_point);

}  // namespace sagesan
