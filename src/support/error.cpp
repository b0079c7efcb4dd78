#include "sagesan/support/error.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <new>
#include <stdexcept>

#include "sagesan/support/utf8.h"

namespace sagesan {

void throw_errno(const std::string& where, const std::string& action) {
  throw IoError(where, fmt::format("{}: {}", action, std::strerror(errno)));
}

bool says_no_memory(const std::string& text) {
  for (const char* words : {"DefaultCPUAllocator", "CUDA out of memory"}) {
    if (text.find(words) != std::string::npos) return true;
  }
  return false;
}

Failure current_failure() {
  const char* no_memory = "out of memory (--dry-run says how much a run needs)";
  try {
    throw;
  } catch (const Error& error) {
    return {error.code(), error.what()};
  } catch (const std::bad_alloc&) {
    return {ExitCode::kInputOutput, no_memory};
  } catch (const std::filesystem::filesystem_error& error) {
    return {ExitCode::kInputOutput,
            printable(error.path1().string()) + ": " + error.code().message()};
  } catch (const std::exception& error) {
    const std::string text = error.what();
    if (says_no_memory(text)) return {ExitCode::kInputOutput, no_memory};
    return {ExitCode::kInternal, "internal error (a bug, please report it): " +
                                     printable(text.substr(0, text.find('\n')))};
  } catch (...) {
    return {ExitCode::kInternal, "internal error (a bug, please report it)"};
  }
}

std::string printable(std::string_view text) {
  std::string result;
  for (size_t position = 0; position < text.size();) {
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
  return result;
}

std::string quote(std::string_view text) {
  constexpr size_t kLongest = 200;
  if (text.size() <= kLongest) return fmt::format("'{}'", printable(text));
  size_t end = kLongest;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80)
    --end;  // whole characters
  return fmt::format("'{}... ({} bytes)'", printable(text.substr(0, end)), text.size());
}

void assertion_failed(const char* expression, const char* file, int line) {
  throw std::logic_error(fmt::format("{} at {}:{}", expression, file, line));
}

}  // namespace sagesan
