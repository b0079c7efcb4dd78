#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

struct pcre2_real_code_8;

namespace sagesan {

/// Expressions for modules' names with a number each, as `rank_pattern` of an adapter has them:
/// the first that matches decides.
class NamePatterns {
 public:
  /// `where` opens the messages of the `InputError`s thrown.
  explicit NamePatterns(std::string where = {}) : where_(std::move(where)) {}

  /// Throws for an expression that PCRE2 does not understand.
  void add(const std::string& expression, double value);
  /// The value of the first expression that matches `key` as peft matches it: Python's
  /// `re.match(rf"(.*\.)?({expression})$", key)` (peft: utils/other.py `get_pattern_key`). Throws
  /// where one takes too long: alone, or all of them in 10 seconds of this object's life.
  std::optional<double> find(const std::string& key) const;

 private:
  struct Pattern {
    std::string expression;
    std::shared_ptr<pcre2_real_code_8> code;  ///< null where it is a name, compared without
    double value;
  };
  bool matches(const Pattern& pattern, const std::string& key) const;

  std::string where_;
  std::vector<Pattern> patterns_;
  mutable std::chrono::nanoseconds taken_{0};  ///< of the processor, by matching
};

}  // namespace sagesan
