#include "sagesan/checkpoint/name_patterns.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "sagesan/support/error.h"
#include "sagesan/support/processor_time.h"

namespace sagesan {
namespace {

/// Far above what names need, far below what anybody waits for.
constexpr uint32_t kMatchLimit = 100'000;
constexpr uint32_t kHeapLimitKib = 16'384;
constexpr std::chrono::seconds kMost{10};

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

bool ends_with_plain(const std::string& key, const std::string& expression) {
  size_t at = key.size();
  for (size_t left = expression.size(); left > 0; --left) {
    const char c = expression[left - 1];
    if (at == 0) return false;
    --at;
    if (c != '.') {
      if (key[at] != c) return false;
      continue;
    }
    if (key[at] == '\n') return false;
    while (at > 0 && (static_cast<unsigned char>(key[at]) & 0xC0) == 0x80) --at;  // UTF-8
  }
  return at == 0 || key[at - 1] == '.';
}

}  // namespace

void NamePatterns::add(const std::string& expression, double value) {
  std::shared_ptr<pcre2_code> code;
  if (!is_plain(expression)) {
    const std::string whole = "(.*\\.)?(" + expression + ")$";
    int error = 0;
    PCRE2_SIZE place = 0;
    code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(whole.data()), whole.size(),
                             PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED, &error, &place, nullptr),
               &pcre2_code_free);
    if (code == nullptr) fail(expression, error, where_);
  }
  patterns_.push_back({expression, std::move(code), value});
}

bool NamePatterns::matches(const Pattern& pattern, const std::string& key) const {
  if (pattern.code == nullptr) return ends_with_plain(key, pattern.expression);
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data(
      pcre2_match_data_create(1, nullptr), &pcre2_match_data_free);
  const std::unique_ptr<pcre2_match_context, decltype(&pcre2_match_context_free)> context(
      pcre2_match_context_create(nullptr), &pcre2_match_context_free);
  pcre2_set_match_limit(context.get(), kMatchLimit);
  pcre2_set_heap_limit(context.get(), kHeapLimitKib);
  const int found = pcre2_match(pattern.code.get(), reinterpret_cast<PCRE2_SPTR>(key.data()),
                                key.size(), 0, 0, data.get(), context.get());
  if (found == PCRE2_ERROR_NOMATCH) return false;
  if (found < 0) fail(pattern.expression, found, where_);
  return true;
}

std::optional<double> NamePatterns::find(const std::string& key) const {
  const auto start = processor_time();
  const auto found = std::find_if(patterns_.begin(), patterns_.end(),
                                  [&](const Pattern& pattern) { return matches(pattern, key); });
  taken_ += processor_time() - start;
  if (taken_ > kMost)
    throw InputError(where_,
                     fmt::format("{} expressions: matching them takes too long", patterns_.size()));
  return found == patterns_.end() ? std::nullopt : std::optional(found->value);
}

}  // namespace sagesan
