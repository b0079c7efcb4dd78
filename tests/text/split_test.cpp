#include "sagesan/text/split.h"

#include "text_testing.h"

namespace sagesan::tokenization {
namespace {

/// The pieces of `text`, split at `-`. Expected values are those of Hugging Face's tokenizers 0.23.
std::vector<std::string> split_at_hyphens(std::string_view text, const char* behavior,
                                          bool invert) {
  Pieces pieces{std::string(text), {{0, text.size()}}};
  const Regex hyphen = Regex::literal("-", "test");
  const Finder find = [&](std::string_view piece, std::vector<Span>& found) {
    hyphen.find_all(piece, found);
  };
  split_pieces(pieces, find, parse_behavior(behavior, "test"), invert);
  std::vector<std::string> result;
  for (const Span& span : pieces.spans) result.emplace_back(pieces.piece(span));
  return result;
}

using Texts = std::vector<std::string>;

TEST(Split, IsolatesDelimiters) {
  const Texts expected = {"-", "-", "a", "-", "-", "b", "-", "c"};
  EXPECT_EQ(split_at_hyphens("--a--b-c", "Isolated", false), expected);
  EXPECT_EQ(split_at_hyphens("--a--b-c", "Isolated", true), expected);
}

TEST(Split, RemovesDelimiters) {
  EXPECT_EQ(split_at_hyphens("--a--b-c", "Removed", false), (Texts{"a", "b", "c"}));
  EXPECT_EQ(split_at_hyphens("--a--b-c", "Removed", true), (Texts{"-", "-", "-", "-", "-"}));
  EXPECT_EQ(split_at_hyphens("--", "Removed", false), Texts{});
}

TEST(Split, MergesDelimitersIntoTheirNeighbours) {
  EXPECT_EQ(split_at_hyphens("--a--b-c", "MergedWithPrevious", false),
            (Texts{"-", "-", "a-", "-", "b-", "c"}));
  EXPECT_EQ(split_at_hyphens("--a--b-c", "MergedWithPrevious", true),
            (Texts{"-", "-a", "-", "-b", "-c"}));
  EXPECT_EQ(split_at_hyphens("--a--b-c", "MergedWithNext", false),
            (Texts{"-", "-a", "-", "-b", "-c"}));
  EXPECT_EQ(split_at_hyphens("--a--b-c", "MergedWithNext", true),
            (Texts{"-", "-", "a-", "-", "b-", "c"}));
}

TEST(Split, JoinsNeighbouringDelimiters) {
  EXPECT_EQ(split_at_hyphens("--a--b-c", "Contiguous", false),
            (Texts{"--", "a", "--", "b", "-", "c"}));
}

}  // namespace
}  // namespace sagesan::tokenization
