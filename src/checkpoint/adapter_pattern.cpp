#include "adapter_pattern.h"

#include <fmt/format.h>

#include <array>
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

}  // namespace

bool matches_pattern(const std::string& expression, const std::string& key,
                     const std::string& where) {
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
