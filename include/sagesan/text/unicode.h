#pragma once

#include <cstddef>
#include <string_view>

namespace sagesan::tokenization {

/// Character classes as Hugging Face's `tokenizers` sees them through Rust's standard library and
/// crates, with ICU's tables (ICU 72: Unicode 15; later characters belong to no class).

/// Unicode's White_Space.
bool is_space(char32_t code_point);
/// The general categories Nd, Nl and No.
bool is_numeric(char32_t code_point);
/// `\w`: Alphabetic, M, Nd, Pc and Join_Control (Unicode technical standard 18, annex C).
bool is_word(char32_t code_point);
/// The general categories M* of the characters that Unicode 9.0 had, the version used there.
bool is_mark(char32_t code_point);
/// The general categories P* as of Unicode 8.0, the version used there (measured with tokenizers
/// 0.23), and the ASCII symbols that C's ispunct has beside them.
bool is_punctuation(char32_t code_point);

/// The last character of a text (valid UTF-8, not empty).
char32_t last_character(std::string_view text);
/// Bytes of white space at the start and at the end of a text.
size_t leading_space(std::string_view text);
size_t trailing_space(std::string_view text);

}  // namespace sagesan::tokenization
