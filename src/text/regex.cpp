#define PCRE2_CODE_UNIT_WIDTH 8
#include "sagesan/text/regex.h"

#include <fmt/format.h>
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <optional>

#include "sagesan/support/error.h"
#include "sagesan/support/processor_time.h"
#include "sagesan/support/utf8.h"
#include "sagesan/text/oniguruma.h"

namespace sagesan::tokenization {
namespace {

// From one start: far above what sane expressions need on a megabyte, a fraction of a second for
// one that runs away.
constexpr uint32_t kMatchLimit = 10'000'000;
// For a whole text, because many starts may each stay below that limit; a hundred times what sane
// expressions need. Clocks are looked at between calls, and a call tries few starts at first.
constexpr std::chrono::seconds kTimeLimit{1};
constexpr std::chrono::microseconds kTimeLimitPerByte{5};
constexpr size_t kFirstWindow = 64;
constexpr size_t kMatchesBetweenClocks = 16;
constexpr uint32_t kHeapLimitKib = 256 * 1024;
constexpr size_t kJitStackStart = size_t{64} << 10;
constexpr size_t kJitStackMost = size_t{64} << 20;

std::string message_of(int error) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(error, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

/// What a match writes to. One for each thread: making them costs more than a short match.
struct Workspace {
  Workspace() {
    SAGESAN_ASSERT(data && context);
    pcre2_set_match_limit(context.get(), kMatchLimit);
    pcre2_set_heap_limit(context.get(), kHeapLimitKib);
    if (stack) pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
  }

  template <auto Free>
  struct Deleter {
    template <typename T>
    void operator()(T* pointer) const {
      Free(pointer);
    }
  };
  // One pair of offsets is enough: captures are never asked for.
  std::unique_ptr<pcre2_match_data, Deleter<pcre2_match_data_free>> data{
      pcre2_match_data_create(1, nullptr)};
  std::unique_ptr<pcre2_match_context, Deleter<pcre2_match_context_free>> context{
      pcre2_match_context_create(nullptr)};
  std::unique_ptr<pcre2_jit_stack, Deleter<pcre2_jit_stack_free>> stack{
      pcre2_jit_stack_create(kJitStackStart, kJitStackMost, nullptr)};
};

using Clock = std::chrono::steady_clock;

}  // namespace

Regex Regex::compile(std::string_view pattern, const std::string& where) {
  return Regex(pattern, translate_oniguruma(pattern, where), PCRE2_UCP | PCRE2_MULTILINE, where);
}

Regex Regex::literal(std::string_view text, const std::string& where) {
  return Regex(text, text, PCRE2_LITERAL, where);
}

Regex::Regex(std::string_view source, std::string_view translated, uint32_t options,
             const std::string& where)
    : source_(source), where_(where) {
  const std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), &pcre2_compile_context_free);
  SAGESAN_ASSERT(context);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  code_.reset(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                    options | PCRE2_UTF | PCRE2_USE_OFFSET_LIMIT, &error, &offset, context.get()),
      &pcre2_code_free);
  if (!code_) {
    throw InputError(where_, fmt::format("the expression {} is not supported: {}", quote(source_),
                                         message_of(error)));
  }
  // Failing is no error: the interpreter takes over.
  pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);
}

void Regex::fail(size_t size, const std::string& reason) const {
  throw InputError(where_, fmt::format("the expression {} failed on a text of {} bytes: {}",
                                       quote(source_), size, reason));
}

void Regex::find_all(std::string_view text, std::vector<Span>& matches) const {
  thread_local Workspace workspace;
  // The caller has checked the encoding; checking again at every match would take quadratic time.
  const auto match = [&](size_t position, uint32_t options) {
    return pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                       position, options | PCRE2_NO_UTF_CHECK, workspace.data.get(),
                       workspace.context.get());
  };
  const auto limit = kTimeLimit + text.size() * kTimeLimitPerByte;
  const auto begin = Clock::now();
  const auto begin_of_work = processor_time();
  std::optional<size_t> last_end;
  size_t window = kFirstWindow;  // how many bytes of starts one call tries
  for (size_t position = 0, count = 0; position <= text.size(); ++count) {
    if (count % kMatchesBetweenClocks == 0 && Clock::now() - begin > limit &&
        processor_time() - begin_of_work > limit) {
      fail(text.size(), "it takes too long");
    }
    const size_t last_start = std::min(text.size(), position + window);
    pcre2_set_offset_limit(workspace.context.get(), last_start);
    int result = match(position, 0);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = match(position, PCRE2_NO_JIT);
    if (result == PCRE2_ERROR_NOMATCH) {
      if (last_start == text.size()) return;
      position = last_start + 1;
      while (position < text.size() && is_continuation(text[position])) ++position;
      window *= 2;
      count = kMatchesBetweenClocks - 1;  // a look at the clock costs little here
      continue;
    }
    if (result < 0) fail(text.size(), message_of(result));
    const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(workspace.data.get());
    const Span found{offsets[0], offsets[1]};
    if (found.begin == found.end && last_end == found.end) {
      if (position >= text.size()) return;
      position += decode_utf8(text, position).length;
      continue;
    }
    matches.push_back(found);
    last_end = found.end;
    position = found.end;
  }
}

}  // namespace sagesan::tokenization
