#pragma once

#include <string>
#include <string_view>

namespace sagesan::cli {

/// Throws `InputError`, with `path` and line, where TOML has characters other than ASCII's outside
/// of strings and comments, for quotes that begin no string, and for what is not UTF-8: toml++ 3.3
/// is undefined there (its `is_non_ascii_horizontal_whitespace` reaches `__builtin_unreachable` for
/// most letters).
void check_toml_characters(std::string_view text, const std::string& path);

}  // namespace sagesan::cli
