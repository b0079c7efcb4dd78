#include "sagesan/text/split.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "sagesan/support/error.h"

namespace sagesan::tokenization {
namespace {

struct Part {
  Span span;
  bool is_delimiter;
};

/// All of a piece of `size` bytes as delimiters and what lies between them.
void cover(const std::vector<Span>& delimiters, size_t size, bool invert,
           std::vector<Part>& parts) {
  size_t end = 0;
  for (const Span& delimiter : delimiters) {
    if (end != delimiter.begin) parts.push_back({{end, delimiter.begin}, invert});
    parts.push_back({delimiter, !invert});
    end = delimiter.end;
  }
  if (end != size) parts.push_back({{end, size}, invert});
}

/// Joins parts in reading order (for kMergedWithNext: in reverse order) as the behavior says. An
/// inverted run of delimiters merges once: only a delimiter behind a non-delimiter joins it.
void join(const std::vector<Part>& parts, Behavior behavior, std::vector<Span>& spans) {
  const bool reverse = behavior == Behavior::kMergedWithNext;
  const size_t begin = spans.size();
  bool previous = false;
  for (size_t i = 0; i < parts.size(); ++i) {
    const Part& part = parts[reverse ? parts.size() - 1 - i : i];
    if (behavior == Behavior::kRemoved && part.is_delimiter) continue;
    bool joins = spans.size() > begin;
    if (behavior == Behavior::kContiguous) {
      joins = joins && part.is_delimiter == previous;
    } else if (behavior == Behavior::kMergedWithPrevious || reverse) {
      joins = joins && part.is_delimiter && !previous;
    } else {
      joins = false;
    }
    previous = part.is_delimiter;
    if (!joins) {
      spans.push_back(part.span);
    } else if (reverse) {
      spans.back().begin = part.span.begin;
    } else {
      spans.back().end = part.span.end;
    }
  }
  if (reverse) std::reverse(spans.begin() + static_cast<std::ptrdiff_t>(begin), spans.end());
}

}  // namespace

Behavior parse_behavior(std::string_view name, const std::string& where) {
  static constexpr std::pair<std::string_view, Behavior> kNames[] = {
      {"Removed", Behavior::kRemoved},
      {"Isolated", Behavior::kIsolated},
      {"MergedWithPrevious", Behavior::kMergedWithPrevious},
      {"MergedWithNext", Behavior::kMergedWithNext},
      {"Contiguous", Behavior::kContiguous},
  };
  for (const auto& [known, behavior] : kNames) {
    if (name == known) return behavior;
  }
  throw InputError(where, fmt::format("the behavior {} is not supported", quote(name)));
}

void split_pieces(Pieces& pieces, const Finder& find, Behavior behavior, bool invert) {
  std::vector<Span> result;
  std::vector<Span> delimiters;
  std::vector<Part> parts;
  std::vector<Span> spans;
  result.reserve(pieces.spans.size());
  for (const Span& span : pieces.spans) {
    delimiters.clear();
    parts.clear();
    spans.clear();
    find(pieces.piece(span), delimiters);
    cover(delimiters, span.end - span.begin, invert, parts);
    join(parts, behavior, spans);
    for (const Span& part : spans) {
      if (part.begin != part.end)
        result.push_back({span.begin + part.begin, span.begin + part.end});
    }
  }
  pieces.spans = std::move(result);
}

}  // namespace sagesan::tokenization
