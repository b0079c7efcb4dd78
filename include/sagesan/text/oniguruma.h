#pragma once

#include <string>
#include <string_view>

namespace sagesan::tokenization {

/// Rewrites an expression of tokenizer.json for PCRE2. Hugging Face's `tokenizers` runs them with
/// Oniguruma (its own syntax, UTF-8), whose meaning of `\s`, `\w`, `\v`, scripts, `(` and `{,n}`
/// differs; what cannot be said the same way is refused rather than run with another meaning:
/// nested classes and `&&`, back references, named groups, other flags than `i`, `\b`, `\h`,
/// possessive intervals, and caseless letters that fold to several characters.
///
/// The result is for UTF, UCP and MULTILINE mode with LF as the only newline. Throws `InputError`.
std::string translate_oniguruma(std::string_view pattern, const std::string& where);

}  // namespace sagesan::tokenization
