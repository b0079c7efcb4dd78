#include <algorithm>
#include <ctime>

#include "text_testing.h"

// No text and no expression makes the tokenizer hang.
namespace sagesan {
namespace {

using nlohmann::json;

/// Of the processor, not of the clock: what else runs on the machine does not count.
double seconds_of(const Tokenizer& tokenizer, const std::string& text, int times) {
  double best = 1e9;
  for (int i = 0; i < times; ++i) {
    const std::clock_t start = std::clock();
    EXPECT_FALSE(tokenizer.encode(text).empty());
    best = std::min(best, static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
  }
  return best;
}

std::string repeat(std::string_view part, size_t size) {
  std::string text;
  while (text.size() < size) text += part;
  return text;
}

/// 32 times the text may take 32 times as long, a logarithm more, and what caches no longer hold;
/// quadratic time would be 1024.
void expect_about_linear(const Tokenizer& tokenizer, std::string_view part) {
  constexpr size_t kSize = size_t{1} << 15;
  const double small = seconds_of(tokenizer, repeat(part, kSize), 3);
  const double large = seconds_of(tokenizer, repeat(part, 32 * kSize), 2);
  EXPECT_LT(large, 250 * small) << "text of " << part;
}

json merges() {
  json file = make_tokenizer(
      {"a", "aa", "aaaa", "aaaaaaaa", " ", "  ", "    ", "b", "\n", "▁", "<s>", "<", "s", ">"});
  file["model"]["merges"] = {"a a", "aa aa", "aaaa aaaa"};
  for (const char* space : {" ", "  "}) file["model"]["merges"].push_back({space, space});
  return file;
}

constexpr const char* kParts[] = {"a", " ", "\n", "ab", "a ", "   b", "<s>", "a  <s>"};

TEST(LongTexts, TakeAboutLinearTimeAsOnePiece) {
  json file = merges();
  file["added_tokens"] = {{{"id", 10}, {"content", "<s>"}, {"lstrip", true}, {"rstrip", true}}};
  const Tokenizer tokenizer = load(file);
  EXPECT_EQ(tokenizer.encode(std::string(1 << 20, 'a')).size(), size_t{1} << 17);
  for (const char* part : kParts) expect_about_linear(tokenizer, part);
}

TEST(LongTexts, TakeAboutLinearTimeWithExpressions) {
  json file = merges();
  const char* llama3 =
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
      R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
  file["pre_tokenizer"] = {
      {"type", "Split"}, {"pattern", {{"Regex", llama3}}}, {"behavior", "Isolated"}};
  const Tokenizer tokenizer = load(file);
  for (const char* part : kParts) expect_about_linear(tokenizer, part);
}

TEST(LongTexts, TakeAboutLinearTimeWithUnigram) {
  json file = merges();
  file["model"] = {{"type", "Unigram"}, {"unk_id", 0}};
  for (const auto& [token, score] : std::map<std::string, double>{
           {"<unk>", 0}, {"▁", -1}, {"a", -2}, {"aa", -3}, {"▁▁", -1.5}}) {
    file["model"]["vocab"].push_back(json::array({token, score}));
  }
  file["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "▁"}, {"split", false}};
  const Tokenizer tokenizer = load(file);
  for (const char* part : kParts) expect_about_linear(tokenizer, part);
}

TEST(LongTexts, TakeAboutLinearTimeAmongTokensOfWhiteSpace) {
  json file = merges();
  file["added_tokens"] = {
      {{"id", 5}, {"content", "  "}, {"normalized", false}},
      {{"id", 14}, {"content", "\t\t"}, {"rstrip", true}, {"normalized", false}},
      {{"id", 15}, {"content", "\n\n"}, {"lstrip", true}, {"normalized", false}}};
  const Tokenizer tokenizer = load(file);
  for (const char* part : {" ", "\t", "\n", "\t\t  ", "\n\n  ", "  \n\n\t\t"}) {
    expect_about_linear(tokenizer, part);
  }
}

std::string error_with(const char* expression, const std::string& text) {
  json file = make_tokenizer({"a", "b"});
  file["pre_tokenizer"] = {
      {"type", "Split"}, {"pattern", {{"Regex", expression}}}, {"behavior", "Isolated"}};
  const Tokenizer tokenizer = load(file);
  EXPECT_FALSE(tokenizer.encode("aab").empty());
  return error_of([&] { tokenizer.encode(text); });
}

TEST(Expressions, ThatRunAwayAreStopped) {
  const std::string message = error_with("(a+a+)+b", repeat("a", 4000) + "cb");
  expect_contains(message, "pre_tokenizer");
  expect_contains(message, "'(a+a+)+b'");
  expect_contains(message, "limit");
}

// No start reaches the limit of steps, but there are many.
TEST(Expressions, ThatTakeLongEverywhereAreStopped) {
  const std::string message =
      error_with("a*a*a*a*a*[cd]", repeat(repeat("a", 120) + "b", size_t{1} << 17));
  expect_contains(message, "'a*a*a*a*a*[cd]'");
  expect_contains(message, "it takes too long");
}

json sequence(const char* key, const std::vector<json>& steps) {
  return {{"type", "Sequence"}, {key, steps}};
}

/// Steps of which each doubles the text, many of them, the second half in a Sequence of its own.
json doubling(const char* key, const json& step) {
  return sequence(key, {sequence(key, std::vector<json>(20, step)),
                        sequence(key, std::vector<json>(20, step))});
}

/// Of 1002 bytes, some of which become two each time that they are written as letters.
std::string long_text() {
  std::string text(1000, 'a');
  text += "é";
  return text;
}

TEST(GrowingTexts, OfAStrangersNormalizersAreStopped) {
  const json twice = {{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", "aa"}};
  const json letters = {{"type", "ByteLevel"}};
  for (const json& step : {twice, letters}) {
    json file = make_tokenizer({"a", "b"});
    file["normalizer"] = doubling("normalizers", step);
    const std::string message = error_of([&] { load(file).encode(long_text()); });
    expect_contains(message, "normalizer: makes a text of 1002 bytes one of ");
  }
  json file = make_tokenizer({"a", "b"});
  file["normalizer"] = {
      {"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", std::string(2000, 'b')}};
  expect_contains(error_of([&] { load(file).encode("aaaa"); }),
                  "normalizer: makes a text of 4 bytes one of 2000 or more");
  // The longest that Unicode decomposes to, written as letters.
  file["normalizer"] = sequence("normalizers", {{{"type", "NFKD"}}, letters});
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "\uFDFA";
  EXPECT_NO_THROW(load(file).encode(text));
}

TEST(GrowingTexts, OfAStrangersPreTokenizersAreStopped) {
  json file = make_tokenizer({"a", "b"});
  file["pre_tokenizer"] = doubling(
      "pretokenizers", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}});
  expect_contains(error_of([&] { load(file).encode(long_text()); }),
                  "pre_tokenizer: makes a text of 1002 bytes one of ");
}

TEST(GrowingTexts, OfAStrangersDecodersAreStopped) {
  json file = make_tokenizer({"a", "b"});
  file["decoder"] = doubling(
      "decoders", {{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", "aa"}});
  const Tokenizer tokenizer = load(file);
  const std::vector<int64_t> ids(1000, tokenizer.encode("a").at(0));
  expect_contains(error_of([&] { tokenizer.detokenizer().decode(ids); }),
                  "decoder: makes a text of 1000 bytes one of ");
}

}  // namespace
}  // namespace sagesan
