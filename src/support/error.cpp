#include "sagesan/support/error.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "sagesan/support/utf8.h"

namespace sagesan {

void throw_errno(const std::string& where, const std::string& action) {
  throw IoError(where, fmt::format("{}: {}", action, std::strerror(errno)));
}

std::string quote(std::string_view text) {
  constexpr size_t kLongest = 200;
  std::string result = "'";
  size_t position = 0;
  while (position < text.size() && position < kLongest) {
    const Utf8Character character = decode_utf8(text, position);
    if (!character.valid) {
      result += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[position]));
    } else if (is_unsafe_on_terminal(character.code_point)) {
      result += fmt::format("\\u{{{:x}}}", static_cast<uint32_t>(character.code_point));
    } else {
      result += text.substr(position, character.length);
    }
    position += character.length;
  }
  if (position < text.size()) result += fmt::format("... ({} bytes)", text.size());
  return result + "'";
}

void assertion_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "sagesan: internal error (a bug, please report it): %s at %s:%d\n",
               expression, file, line);
  std::abort();
}

}  // namespace sagesan
