#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct pcre2_real_code_8;

namespace sagesan::tokenization {

/// Bytes [begin, end) of a text.
struct Span {
  size_t begin;
  size_t end;
};

/// A compiled expression (PCRE2, just-in-time compiled where the system allows it). Immutable and
/// cheap to copy; matching is safe on several threads at once.
///
/// Unicode properties are those of the PCRE2 at hand (10.42: Unicode 14), while Hugging Face's
/// wheels carry newer tables: characters assigned since then may be split differently.
class Regex {
 public:
  /// Compiles an expression in Oniguruma's syntax. Throws `InputError` where it is not understood.
  static Regex compile(std::string_view pattern, const std::string& where);
  /// Matches `text` itself.
  static Regex literal(std::string_view text, const std::string& where);

  /// Appends the matches in `text` (valid UTF-8), from left to right without overlap; an empty
  /// match right behind the last match is passed over, as Hugging Face's binding does. Throws
  /// `InputError` where the matcher's limit of steps or of time is reached.
  void find_all(std::string_view text, std::vector<Span>& matches) const;

 private:
  Regex(std::string_view source, std::string_view translated, uint32_t options,
        const std::string& where);
  [[noreturn]] void fail(size_t size, const std::string& reason) const;

  std::shared_ptr<pcre2_real_code_8> code_;
  std::string source_;
  std::string where_;
};

}  // namespace sagesan::tokenization
