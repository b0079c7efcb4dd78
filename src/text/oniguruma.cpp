#include "sagesan/text/oniguruma.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "sagesan/support/error.h"

namespace sagesan::tokenization {
namespace {

// Unicode's White_Space. PCRE2's own \s has U+180E too, which left the property in Unicode 6.3.
constexpr std::string_view kSpace = R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a})"
                                    R"(\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
constexpr std::string_view kNotSpace =
    R"(\x{0}-\x{8}\x{e}-\x{1f}\x{21}-\x{84}\x{86}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff})"
    R"(\x{200b}-\x{2027}\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{10ffff})";
// Oniguruma's word characters: those of Unicode technical standard 18, annex C, without the joiners
// and with the superscripts and fractions of Latin-1 (measured with tokenizers 0.23).
constexpr std::string_view kWord =
    R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{b2}\x{b3}\x{b9}\x{bc}-\x{be})";

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

class Translator {
 public:
  Translator(std::string_view pattern, const std::string& where)
      : pattern_(pattern), where_(where) {}

  std::string run() {
    while (!done()) {
      const char c = pattern_[position_];
      if (c == '\\') {
        escape();
      } else if (c == '[') {
        character_class();
      } else if (c == '(') {
        open_group();
      } else if (c == ')') {
        if (caseless_.size() < 2) refuse(1, "closes no group");
        caseless_.pop_back();
        copy(1);
      } else if (c == '{') {
        interval();
      } else if (c == ']' || c == '}') {
        output_ += '\\';  // plain characters here
        copy(1);
      } else if (std::string_view(".^$*+?|").find(c) != std::string_view::npos) {
        copy(1);
      } else {
        literal();
      }
    }
    if (caseless_.size() > 1) throw InputError(where_, "unclosed group in " + quote(pattern_));
    return output_;
  }

 private:
  bool done() const { return position_ >= pattern_.size(); }
  char peek(size_t ahead = 0) const {
    return position_ + ahead < pattern_.size() ? pattern_[position_ + ahead] : '\0';
  }
  bool starts_with(std::string_view text) const {
    return pattern_.substr(position_).starts_with(text);
  }

  [[noreturn]] void refuse(size_t length, std::string_view reason) const {
    throw InputError(
        where_, fmt::format("{} in the expression {} {}", quote(pattern_.substr(position_, length)),
                            quote(pattern_), reason));
  }
  [[noreturn]] void refuse(size_t length) const { refuse(length, "is not supported"); }

  void copy(size_t length) {
    output_ += pattern_.substr(position_, length);
    position_ += length;
    previous_letter_ = '\0';
  }

  void literal(bool in_class = false) {
    const char c = peek();
    if (caseless_.back()) {
      // Oniguruma also matches these with one character (ß, ﬁ, ...), PCRE2 does not.
      static constexpr std::array<std::string_view, 5> kFolded = {"ss", "ff", "fi", "fl", "st"};
      const char lower = is_letter(c) ? static_cast<char>(c | 0x20) : c;
      const std::string pair = {previous_letter_, lower};
      if (static_cast<unsigned char>(c) >= 0x80 ||
          (!in_class && std::find(kFolded.begin(), kFolded.end(), pair) != kFolded.end())) {
        refuse(1, "is not supported in a group that ignores case");
      }
      copy(1);
      previous_letter_ = lower;
    } else {
      copy(1);
    }
  }

  void open_group() {
    for (const std::string_view plain : {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"}) {
      if (starts_with(plain)) {
        caseless_.push_back(caseless_.back());
        return copy(plain.size());
      }
    }
    if (starts_with("(?i:")) {
      caseless_.push_back(true);
      return copy(4);
    }
    // In the middle of an expression this flag would open a group in Oniguruma.
    if (starts_with("(?i)") && position_ == 0) {
      caseless_.back() = true;
      return copy(4);
    }
    if (starts_with("(?") || starts_with("(*")) refuse(4);
    caseless_.push_back(caseless_.back());
    output_ += "(?:";  // nothing refers to a capture
    ++position_;
    previous_letter_ = '\0';
  }

  void interval() {
    size_t end = position_ + 1;
    const auto digits = [&] {
      const size_t begin = end;
      while (end < pattern_.size() && is_digit(pattern_[end])) ++end;
      return pattern_.substr(begin, end - begin);
    };
    const std::string_view least = digits();
    const bool comma = end < pattern_.size() && pattern_[end] == ',';
    if (comma) ++end;
    const std::string_view most = comma ? digits() : std::string_view();
    if (end >= pattern_.size() || pattern_[end] != '}' || (least.empty() && most.empty())) {
      output_ += '\\';  // no interval: a plain brace
      return copy(1);
    }
    const size_t length = end + 1 - position_;
    if (peek(length) == '+' || (peek(length) == '?' && !comma)) refuse(length + 1);
    output_ += fmt::format("{{{}{}{}}}", least.empty() ? "0" : least, comma ? "," : "", most);
    position_ += length;
    previous_letter_ = '\0';
  }

  void character_class() {
    const size_t begin = position_;
    copy(1);
    if (peek() == '^') copy(1);
    if (peek() == ']') refuse(1, "at the start of a class is not supported");
    bool after_set = false;  // behind \s, \p{..} and the like a hyphen is a plain one
    bool in_range = false;   // behind "a-"
    bool first = true;
    while (peek() != ']') {
      if (done()) {
        position_ = begin;
        refuse(8, "is not closed");
      }
      if (peek() == '[') refuse(2);
      if (starts_with("&&")) refuse(2);
      if (peek() == '-') {
        const bool plain = after_set || first || in_range || peek(1) == ']';
        if (plain) output_ += '\\';
        copy(1);
        in_range = !plain;
        after_set = false;
      } else if (peek() == '\\') {
        const bool set = is_set_escape(peek(1));
        if (set && in_range) refuse(2, "cannot end a range");
        set ? set_escape(true) : escape();
        after_set = set;
        in_range = false;
      } else {
        literal(true);
        // A range goes on through the bytes of a character; only a whole one ends it.
        if ((static_cast<unsigned char>(peek()) & 0xC0) != 0x80) in_range = after_set = false;
      }
      first = false;
    }
    copy(1);
  }

  static bool is_set_escape(char c) {
    return std::string_view("sSwWdDpP").find(c) != std::string_view::npos;
  }

  void escape() {
    const char c = peek(1);
    if (c == '\0' && position_ + 1 >= pattern_.size()) refuse(1, "ends the expression");
    if (is_set_escape(c)) return set_escape(false);
    if (std::string_view("rntfae").find(c) != std::string_view::npos) return copy(2);
    if (c == 'v') return code_point(0x0B, 2);  // a class of its own in PCRE2
    if (c == 'A' || c == 'z') return copy(2);
    if (c == 'u') return hex_escape(2, 4);
    if (c == 'x' && peek(2) == '{') return braced_hex_escape();
    if (c == 'x') return hex_escape(2, 2);
    if (is_letter(c) || is_digit(c)) refuse(2);
    copy(2);
  }

  void set_escape(bool in_class) {
    const char c = peek(1);
    if (c == 'p' || c == 'P') return property();
    if (c == 'd' || c == 'D') return copy(2);
    if (c == 'W' && in_class) refuse(2, "is not supported in a class");
    const std::string_view set = c == 's' || (c == 'S' && !in_class) ? kSpace
                                 : c == 'S'                          ? kNotSpace
                                                                     : kWord;
    const bool negated = !in_class && (c == 'S' || c == 'W');
    output_ += in_class ? std::string(set) : fmt::format("[{}{}]", negated ? "^" : "", set);
    position_ += 2;
    previous_letter_ = '\0';
  }

  void property() {
    const size_t close = pattern_.find('}', position_);
    if (peek(2) != '{' || close == std::string_view::npos) refuse(3);
    const size_t length = close + 1 - position_;
    std::string_view name = pattern_.substr(position_ + 3, length - 4);
    bool negated = peek(1) == 'P';
    if (name.starts_with('^')) {
      negated = !negated;
      name.remove_prefix(1);
    }
    const bool letters =
        std::all_of(name.begin(), name.end(), [](char c) { return is_letter(c) || c == '_'; });
    if (name.empty() || !letters) refuse(length);
    if (caseless_.back() && name.size() == 2 && name[0] == 'L') {
      refuse(length, "is not supported in a group that ignores case");
    }
    // General categories have one or two letters; longer names are scripts here (PCRE2 would take
    // a bare one for Script_Extensions) and PCRE2 refuses those that are none.
    output_ +=
        fmt::format("\\{}{{{}{}}}", negated ? 'P' : 'p', name.size() <= 2 ? "" : "sc:", name);
    position_ += length;
    previous_letter_ = '\0';
  }

  void hex_escape(size_t prefix, size_t digits) {
    uint32_t value = 0;
    for (size_t i = 0; i < digits; ++i) {
      if (!is_hex(peek(prefix + i))) refuse(prefix + digits);
      value = value * 16 + hex_value(peek(prefix + i));
    }
    // Oniguruma takes \x80 and above for single bytes of UTF-8.
    if (digits == 2 && value >= 0x80) refuse(prefix + digits);
    code_point(value, prefix + digits);
  }

  void braced_hex_escape() {
    size_t length = 3;
    uint32_t value = 0;
    while (is_hex(peek(length)) && length < 9) value = value * 16 + hex_value(peek(length++));
    if (length == 3 || peek(length) != '}') refuse(length + 1);
    code_point(value, length + 1);
  }

  static uint32_t hex_value(char c) {
    return is_digit(c) ? static_cast<uint32_t>(c - '0')
                       : static_cast<uint32_t>((c | 0x20) - 'a' + 10);
  }

  void code_point(uint32_t value, size_t length) {
    if (caseless_.back() && value >= 0x80)
      refuse(length, "is not supported in a group that ignores case");
    output_ += fmt::format("\\x{{{:x}}}", value);
    position_ += length;
    previous_letter_ = '\0';
  }

  std::string_view pattern_;
  const std::string& where_;
  size_t position_ = 0;
  std::string output_;
  std::vector<bool> caseless_ = {false};  // one entry for each open group
  char previous_letter_ = '\0';
};

}  // namespace

std::string translate_oniguruma(std::string_view pattern, const std::string& where) {
  return Translator(pattern, where).run();
}

}  // namespace sagesan::tokenization
