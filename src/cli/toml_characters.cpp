#include "toml_characters.h"

#include <algorithm>

#include "sagesan/support/error.h"
#include "sagesan/support/utf8.h"

namespace sagesan::cli {
namespace {

/// Where the string that opens at `begin` ends: behind its last quote, or where no such string
/// goes on.
size_t end_of_string(std::string_view text, size_t begin) {
  const char quote = text[begin];
  const std::string three(3, quote);
  const bool several_lines = text.substr(begin, 3) == three;
  for (size_t i = begin + (several_lines ? 3 : 1); i < text.size(); ++i) {
    if (quote == '"' && text[i] == '\\') {
      ++i;
    } else if (several_lines && text.substr(i, 3) == three) {
      // One or two more quotes may belong to the string.
      return std::min(text.find_first_not_of(quote, i), i + 5);
    } else if (!several_lines && (text[i] == quote || text[i] == '\n')) {
      return i + 1;
    }
  }
  return text.size();
}

}  // namespace

void check_toml_characters(std::string_view text, const std::string& path) {
  const auto refuse = [&](size_t place, const char* message) {
    const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<long>(place), '\n');
    throw InputError(path + ":" + std::to_string(line), message);
  };
  if (const size_t invalid = find_invalid_utf8(text); invalid != std::string_view::npos)
    refuse(invalid, "is not UTF-8");
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  constexpr std::string_view kBeforeStrings = " \t\r\n=[{,.\xBF";
  for (size_t i = text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0; i < text.size();) {
    if (text[i] == '#') {
      i = std::min(text.find('\n', i), text.size());
    } else if (text[i] == '"' || text[i] == '\'') {
      // Within a bare word toml++ does not take it for the beginning of a string.
      if (i > 0 && kBeforeStrings.find(text[i - 1]) == std::string_view::npos)
        refuse(i, "a quote stands where no string can begin");
      i = std::min(end_of_string(text, i), text.size());
    } else if (static_cast<unsigned char>(text[i]) >= 0x80) {
      refuse(i, "characters other than ASCII's stand in strings and comments alone");
    } else {
      ++i;
    }
  }
}

}  // namespace sagesan::cli
