#pragma once

#include <string>
#include <string_view>

namespace sagesan {

/// `text` from a stranger as text of an HTML or XML 1.0 document, in an element or a quoted
/// attribute: `&`, `<`, `>`, `"` and `'` are entities; control characters, bidirectional marks,
/// invalid UTF-8 and what XML has no place for are visible escapes.
std::string escape_markup(std::string_view text);

}  // namespace sagesan
