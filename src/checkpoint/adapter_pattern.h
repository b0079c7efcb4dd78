#pragma once

#include <string>

namespace sagesan {

/// Whether `key` matches a key of `rank_pattern` as peft reads it: Python's
/// `re.match(rf"(.*\.)?({expression})$", key)` (peft: utils/other.py `get_pattern_key`). Throws
/// `InputError` opened by `where` for an expression that PCRE2 does not understand or gives up on.
bool matches_pattern(const std::string& expression, const std::string& key,
                     const std::string& where);

}  // namespace sagesan
