#include "sagesan/text/oniguruma.h"

#include "sagesan/text/regex.h"
#include "text_testing.h"

namespace sagesan::tokenization {
namespace {

/// `text` with a `|` at every border between matches and what lies between them.
std::string cut(std::string_view pattern, std::string_view text) {
  std::vector<Span> matches;
  Regex::compile(pattern, "test").find_all(text, matches);
  std::string result;
  size_t end = 0;
  const auto put = [&](size_t begin, size_t stop) {
    if (begin == stop) return;
    if (!result.empty()) result += '|';
    result += text.substr(begin, stop - begin);
  };
  for (const Span& match : matches) {
    put(end, match.begin);
    put(match.begin, match.end);
    end = match.end;
  }
  put(end, text.size());
  return result;
}

bool matches_one(std::string_view pattern, std::string_view text) {
  std::vector<Span> matches;
  Regex::compile(pattern, "test").find_all(text, matches);
  return !matches.empty();
}

// The expected pieces are those of Hugging Face's tokenizers 0.23.
TEST(Oniguruma, KeepsTheMeaningOfExpressions) {
  EXPECT_EQ(cut("a{,2}", "aaaaa"), "aa|aa|a");
  EXPECT_EQ(cut("a{1,3}?", "aaaa"), "a|a|a|a");
  EXPECT_EQ(cut("a++b?", "aaab"), "aaab");
  EXPECT_EQ(cut("^a", "a\na\n"), "a|\n|a|\n");
  EXPECT_EQ(cut("a$", "a\na\nb"), "a|\n|a|\nb");
  EXPECT_EQ(cut("x*", "aaxb"), "a|a|x|b");
  EXPECT_EQ(cut("", "éb"), "é|b");
  EXPECT_EQ(cut(R"(\u0061)", "ab"), "a|b");
  EXPECT_EQ(cut(R"(\x{61})", "ab"), "a|b");
  EXPECT_EQ(cut(R"([^\S ])", "a\t b"), "a|\t| b");
  EXPECT_EQ(cut(R"(\p{^L})", "ab1"), "ab|1");
  EXPECT_EQ(cut("{a}", "{a}b"), "{a}|b");
  EXPECT_EQ(cut("a{", "a{b"), "a{|b");
  EXPECT_EQ(cut("]", "a]b"), "a|]|b");
  EXPECT_EQ(cut(R"(\#)", "#a"), "#|a");
  EXPECT_EQ(cut("[a-]", "-a"), "-|a");
  EXPECT_EQ(cut(R"([\w-])", "-a"), "-|a");
  EXPECT_EQ(cut("(?i)'s|x", "'SX"), "'S|X");
  EXPECT_EQ(cut("'(?i:[sdmt]|ll)", "'LL 'S"), "'LL| |'S");
  EXPECT_EQ(cut("(a)(?=b)", "abab"), "a|b|a|b");
  EXPECT_EQ(cut(R"(\s+(?!\S)|\s+)", "a   b"), "a|  | |b");
}

TEST(Oniguruma, KeepsTheMeaningOfClasses) {
  EXPECT_TRUE(matches_one(R"(\s)", "\u0085"));
  EXPECT_FALSE(matches_one(R"(\s)", "\u180E"));
  EXPECT_TRUE(matches_one(R"(\S)", "\u180E"));
  EXPECT_TRUE(matches_one(R"([\S])", "\u180E"));
  EXPECT_FALSE(matches_one(R"([^\s])", "\u3000"));
  EXPECT_TRUE(matches_one(R"(\v)", "\x0B"));
  EXPECT_FALSE(matches_one(R"(\v)", "\n"));
  EXPECT_TRUE(matches_one(R"(\w)", "\u0301"));
  EXPECT_TRUE(matches_one(R"(\w)", "²"));
  EXPECT_FALSE(matches_one(R"(\w)", "⁴"));
  EXPECT_TRUE(matches_one(R"(\p{Han})", "中"));
  EXPECT_FALSE(matches_one(R"(\p{Han})", "\u3001"));  // Script_Extensions alone has it
  EXPECT_TRUE(matches_one("(?i:s)", "ſ"));
  EXPECT_TRUE(matches_one(R"([!-/\[\]^_`])", "]"));
  EXPECT_FALSE(matches_one(".", "\n"));
  EXPECT_TRUE(matches_one(".", "\r"));
}

TEST(Oniguruma, MatchesNulAndLiteralText) {
  std::vector<Span> matches;
  Regex::compile("[^a]", "test").find_all(std::string_view("a\0a", 3), matches);
  ASSERT_EQ(matches.size(), 1u);
  EXPECT_EQ(matches[0].begin, 1u);
  matches.clear();
  Regex::literal("a.(", "test").find_all("axxa.(", matches);
  ASSERT_EQ(matches.size(), 1u);
  EXPECT_EQ(matches[0].begin, 3u);
}

TEST(Oniguruma, RefusesWhatHasAnotherMeaning) {
  const auto refusal = [](std::string_view pattern) {
    return error_of([&] { Regex::compile(pattern, "tokenizer.json: x"); });
  };
  for (const char* pattern : {"a{2}+",
                              "a{2}?",
                              "a(?i)b",
                              "(?x)a",
                              "(?m:.)",
                              "(?s:.)",
                              "[a[bc]]",
                              "[a-z&&[^b]]",
                              "[]a]",
                              "[a",
                              R"([\W])",
                              R"(\b)",
                              R"(\h)",
                              R"(\R)",
                              R"(\K)",
                              R"(\G)",
                              R"((a)\1)",
                              R"(\pL)",
                              R"(\p{L)",
                              R"(\p{Nonsense})",
                              R"(\p{})",
                              "(?<n>a)",
                              "(?P<n>a)",
                              "(*FAIL)",
                              "(?#x)",
                              "a)",
                              "(a",
                              "a\\",
                              "(?i:ss)",
                              "(?i:ß)",
                              R"((?i:\p{Lu}))",
                              R"(\xE9)",
                              R"(\x{)",
                              R"(\u12)",
                              R"([ -\d])",
                              "*a",
                              "(?"}) {
    const std::string message = refusal(pattern);
    expect_contains(message, "tokenizer.json: x: ");
  }
  expect_contains(refusal(R"(x\b)"), R"('\b' in the expression 'x\b' is not supported)");
}

}  // namespace
}  // namespace sagesan::tokenization
