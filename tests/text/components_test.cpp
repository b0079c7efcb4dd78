#include "text_testing.h"

// Parts of tokenizer.json one at a time. tests/python/test_tokenizer_components.py runs far more of
// them, against Hugging Face's tokenizers itself.
namespace sagesan {
namespace {

using nlohmann::json;

json metaspace(const json& options) {
  json file = make_tokenizer({"▁", "a", "b", "▁a", "▁b", "a▁", "<s>"});
  file["model"]["merges"] = json::array({{"a", "▁"}, {"▁", "a"}, {"▁", "b"}});
  file["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "▁"}};
  file["pre_tokenizer"].update(options);
  file["added_tokens"] = {{{"id", 6}, {"content", "<s>"}, {"special", true}}};
  return file;
}

TEST(Metaspace, PrependsWhereTheSchemeSays) {
  EXPECT_EQ(load(metaspace(json::object())).encode("a<s>b"), (Ids{3, 6, 4}));
  EXPECT_EQ(load(metaspace({{"prepend_scheme", "first"}})).encode("a<s>b"), (Ids{3, 6, 2}));
  EXPECT_EQ(load(metaspace({{"prepend_scheme", "first"}})).encode("<s>b"), (Ids{6, 2}));
  EXPECT_EQ(load(metaspace({{"prepend_scheme", "never"}})).encode("a<s>b"), (Ids{1, 6, 2}));
  EXPECT_EQ(load(metaspace({{"add_prefix_space", false}})).encode("a"), (Ids{1}));
  EXPECT_EQ(load(metaspace({{"prepend_scheme", "always"}})).encode(" a"), (Ids{3}));
}

TEST(Metaspace, CutsInFrontOfEveryReplacement) {
  EXPECT_EQ(load(metaspace(json::object())).encode("a  a "), (Ids{3, 0, 3, 0}));
  EXPECT_EQ(load(metaspace({{"split", false}})).encode("a a"), (Ids{0, 5, 1}));
}

json unigram(std::initializer_list<std::pair<const char*, double>> tokens) {
  json file = make_tokenizer({"x"});
  json vocabulary = json::array();
  for (const auto& [token, score] : tokens) vocabulary.push_back(json::array({token, score}));
  file["model"] = {{"type", "Unigram"}, {"vocab", vocabulary}, {"unk_id", 0}};
  return file;
}

TEST(Unigram, TakesTheCutWithTheLargestSum) {
  const json file = unigram(
      {{"<unk>", 0}, {"a", -1}, {"b", -1}, {"c", -1}, {"ab", -1.5}, {"bc", -1.2}, {"abc", -4}});
  EXPECT_EQ(load(file).encode("abc"), (Ids{1, 5}));  // -2.2; ab c: -2.5; abc: -4
  EXPECT_EQ(load(file).encode("abab"), (Ids{4, 4}));
}

TEST(Unigram, JoinsUnknownCharactersOrSpellsTheirBytes) {
  json file = unigram({{"<unk>", 0}, {"a", -1}, {"<0xC3>", -1}, {"<0xA9>", -1}});
  EXPECT_EQ(load(file).encode("aéxa"), (Ids{1, 0, 1}));
  file["model"]["byte_fallback"] = true;
  EXPECT_EQ(load(file).encode("aéa"), (Ids{1, 2, 3, 1}));
  EXPECT_EQ(load(file).encode("aéxa"), (Ids{1, 0, 1}));  // x has no bytes
  file["model"].erase("unk_id");
  expect_contains(error_of([&] { load(file).encode("x"); }), "needs an unknown token");
}

TEST(CharacterNormalizers, ChangeTheText) {
  json file = make_tokenizer({"a", "i", "\u0307", " ", "ς", "σ", "b"});
  file["normalizer"] = {{"type", "Lowercase"}};
  EXPECT_EQ(load(file).encode("A\u0130Σ"), (Ids{0, 1, 2, 5}));
  file["normalizer"] = {{"type", "StripAccents"}};
  EXPECT_EQ(load(file).encode("a\u0301\u0307"), (Ids{0}));
  file["normalizer"] = {{"type", "Nmt"}};
  EXPECT_EQ(load(file).encode("a\u0001\tb"), (Ids{0, 3, 6}));
  file["normalizer"] = {{"type", "Strip"}, {"strip_left", false}, {"strip_right", true}};
  EXPECT_EQ(load(file).encode(" a \n"), (Ids{3, 0}));
}

TEST(PreTokenizers, WhitespaceKeepsWordsAndSymbolsApart) {
  json file = make_tokenizer({"a", "-", " ", "a-", "aa", "--"});
  file["model"]["merges"] = {"a -", "a a", "- -"};
  file["pre_tokenizer"] = {{"type", "Whitespace"}};
  EXPECT_EQ(load(file).encode("aa-- a -"), (Ids{4, 5, 0, 1}));
}

TEST(PostProcessors, RobertaWrapsTheText) {
  json file = make_tokenizer({"a", "<s>", "</s>"});
  file["post_processor"] = {
      {"type", "RobertaProcessing"}, {"sep", {"</s>", 2}}, {"cls", {"<s>", 1}}};
  EXPECT_EQ(load(file).encode("a"), (Ids{1, 0, 2}));
}

TEST(OverlappingTokens, WhoseSpaceIsTakenAlreadyAreNone) {
  json file = make_tokenizer({"a", " "});
  file["added_tokens"] = {
      {{"id", 2}, {"content", "  "}, {"lstrip", true}, {"rstrip", true}, {"normalized", false}}};
  EXPECT_EQ(load(file).encode("a     a"), (Ids{0, 2, 0}));
}

}  // namespace
}  // namespace sagesan
