#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "sagesan/text/regex.h"

namespace sagesan::tokenization {

/// A text cut into pieces: consecutive, not empty, not overlapping; what lies between was removed.
struct Pieces {
  std::string text;
  std::vector<Span> spans;
  bool at_start = true;  ///< byte 0 is the very start of the input

  std::string_view piece(const Span& span) const {
    return std::string_view(text).substr(span.begin, span.end - span.begin);
  }
};

/// Appends the delimiters in one piece, from left to right.
using Finder = std::function<void(std::string_view piece, std::vector<Span>& delimiters)>;

/// What becomes of a delimiter (SplitDelimiterBehavior in Hugging Face's `tokenizers`).
enum class Behavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

/// "Isolated" and so on. Throws `InputError` for another name.
Behavior parse_behavior(std::string_view name, const std::string& where);

/// Splits every piece at its own delimiters; with `invert`, at what lies between them.
void split_pieces(Pieces& pieces, const Finder& find, Behavior behavior, bool invert = false);

}  // namespace sagesan::tokenization
