#include "adapter_pattern.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "sagesan/support/error.h"

namespace sagesan {
namespace {

/// Far above what names need, far below what anybody waits for.
constexpr uint32_t kMatchLimit = 1'000'000;
constexpr uint32_t kHeapLimitKib = 16'384;

[[noreturn]] void fail(const std::string& expression, int error, const std::string& where) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(error, text.data(), text.size());
  throw InputError(where, fmt::format("the expression {}: {}", quote(expression),
                                      reinterpret_cast<const char*>(text.data())));
}

/// Names alone, as nearly all expressions are: compared without compiling anything, because a large
/// adapter has thousands of modules. A dot stands for any character.
bool is_plain(const std::string& expression) {
  return std::all_of(expression.begin(), expression.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.';
  });
}

bool is_ascii(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7F; });
}

bool ends_with_plain(const std::string& expression, const std::string& key) {
  if (key.size() < expression.size()) return false;
  const size_t start = key.size() - expression.size();
  if (start > 0 && key[start - 1] != '.') return false;
  return std::equal(expression.begin(), expression.end(),
                    key.begin() + static_cast<std::ptrdiff_t>(start),
                    [](char e, char c) { return e == '.' || e == c; });
}

}  // namespace

bool matches_pattern(const std::string& expression, const std::string& key,
                     const std::string& where) {
  if (is_plain(expression) && is_ascii(key)) return ends_with_plain(expression, key);
  const std::string whole = "(.*\\.)?(" + expression + ")$";
  int error = 0;
  PCRE2_SIZE place = 0;
  const std::unique_ptr<pcre2_code, decltype(&pcre2_code_free)> code(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(whole.data()), whole.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED, &error, &place, nullptr),
      &pcre2_code_free);
  if (code == nullptr) fail(expression, error, where);
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data(
      pcre2_match_data_create(1, nullptr), &pcre2_match_data_free);
  const std::unique_ptr<pcre2_match_context, decltype(&pcre2_match_context_free)> context(
      pcre2_match_context_create(nullptr), &pcre2_match_context_free);
  pcre2_set_match_limit(context.get(), kMatchLimit);
  pcre2_set_heap_limit(context.get(), kHeapLimitKib);
  const int found = pcre2_match(code.get(), reinterpret_cast<PCRE2_SPTR>(key.data()), key.size(), 0,
                                0, data.get(), context.get());
  if (found == PCRE2_ERROR_NOMATCH) return false;
  if (found < 0) fail(expression, found, where);
  return true;
}

}  // namespace sagesan
