#include "sagesan/text/tokenizer.h"

#include <thread>

#include "helpers/files.h"
#include "text_testing.h"

namespace sagesan {
namespace {

using nlohmann::json;

json added(int id, const std::string& content, const json& flags = json::object()) {
  json token = {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
                {"rstrip", false}, {"normalized", false}, {"special", false}};
  token.update(flags);
  return token;
}

json merges_of(const std::vector<std::pair<std::string, std::string>>& pairs) {
  json list = json::array();
  for (const auto& [left, right] : pairs) list.push_back({left, right});
  return list;
}

TEST(Tokenizer, MergesByRankThenFromTheLeft) {
  json file = make_tokenizer({"a", "b", "c", "ab", "bc", "abc", "aa"});
  file["model"]["merges"] = {"b c", "a b", "ab c", "a bc", "a a"};
  const Tokenizer tokenizer = load(file);
  EXPECT_EQ(tokenizer.encode("abc"), (Ids{5}));
  EXPECT_EQ(tokenizer.encode("ab"), (Ids{3}));
  EXPECT_EQ(tokenizer.encode("aaa"), (Ids{6, 0}));
  EXPECT_EQ(tokenizer.encode("aabcab"), (Ids{0, 5, 3}));
  EXPECT_EQ(tokenizer.size(), 7);
}

TEST(Tokenizer, TakesMergesAsPairsAndKeepsTheLastOfTwo) {
  json file = make_tokenizer({"a", "b", "c", "ab", "bc"});
  file["model"]["merges"] = merges_of({{"a", "b"}, {"b", "c"}, {"a", "b"}});
  EXPECT_EQ(load(file).encode("abc"), (Ids{0, 4}));
}

TEST(Tokenizer, PassesOverTheHeaderOfMergesTxt) {
  json file = make_tokenizer({"a", "b", "ab"});
  file["model"]["merges"] = {"#version: 0.2", "a b"};
  EXPECT_EQ(load(file).encode("ab"), (Ids{2}));
}

TEST(Tokenizer, IgnoresMergesForWholeWordsWhereAsked) {
  json file = make_tokenizer({"a", "b", "c", "bc", "abc"});
  file["model"]["merges"] = {"b c"};
  EXPECT_EQ(load(file).encode("abc"), (Ids{0, 3}));
  file["model"]["ignore_merges"] = true;
  EXPECT_EQ(load(file).encode("abc"), (Ids{4}));
}

TEST(Tokenizer, HandlesUnknownCharacters) {
  json file = make_tokenizer({"a", "b", "<unk>"});
  EXPECT_EQ(load(file).encode("axxb"), (Ids{0, 1}));
  file["model"]["unk_token"] = "<unk>";
  EXPECT_EQ(load(file).encode("axxb"), (Ids{0, 2, 2, 1}));
  file["model"]["fuse_unk"] = true;
  EXPECT_EQ(load(file).encode("axxbx"), (Ids{0, 2, 1, 2}));
}

TEST(Tokenizer, FallsBackOnBytes) {
  json file = make_tokenizer({"a", "<0xC3>", "<0xA9>"});
  file["model"]["byte_fallback"] = true;
  EXPECT_EQ(load(file).encode("aé"), (Ids{0, 1, 2}));
}

TEST(Tokenizer, AcceptsTheModelOfOlderFilesWithoutType) {
  json file = make_tokenizer({"a"});
  file["model"].erase("type");
  file["model"]["continuing_subword_prefix"] = "";
  file["model"]["dropout"] = nullptr;
  EXPECT_EQ(load(file).encode("aa"), (Ids{0, 0}));
}

TEST(Tokenizer, VocabulariesAreComparedAsTheyRead) {
  const testing::TemporaryDirectory root;
  for (const char* name : {"a", "b", "none"}) std::filesystem::create_directory(root / name);
  json file = make_tokenizer({"a", "b", "ab"});
  file["model"]["merges"] = {"a b"};
  testing::write_file(root / "a/tokenizer.json", file.dump());
  const auto differs = [&](const json& other) {
    testing::write_file(root / "b/tokenizer.json", other.dump(1));
    return has_other_vocabulary(root / "a", root / "b");
  };
  EXPECT_FALSE(differs(file));
  json other = file;
  other["model"]["merges"] = json::array({json::array({"a", "b"})});
  other["added_tokens"] = json::array();
  other["truncation"] = nullptr;
  EXPECT_FALSE(differs(other));
  std::swap(other["model"]["vocab"]["a"], other["model"]["vocab"]["b"]);
  EXPECT_TRUE(differs(other));
  other = file;
  other["model"]["merges"] = json::array();
  EXPECT_TRUE(differs(other));
  EXPECT_FALSE(has_other_vocabulary(root / "a", root / "none"));
}

TEST(Tokenizer, ByteLevelSplitsLikeGpt2AndKeepsEveryByte) {
  json file = make_tokenizer({"a", "b", "Ġ", "Ġa", "aĠ", "Ā", "Ã", "©", "č", "Ċ"});
  file["model"]["merges"] = {"a Ġ", "Ġ a"};
  file["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  const Tokenizer tokenizer = load(file);
  EXPECT_EQ(tokenizer.encode("a a"), (Ids{0, 3}));
  EXPECT_EQ(tokenizer.encode(std::string_view("a\0b", 3)), (Ids{0, 5, 1}));
  EXPECT_EQ(tokenizer.encode("é\r\n"), (Ids{6, 7, 8, 9}));
  file["pre_tokenizer"]["use_regex"] = false;
  EXPECT_EQ(load(file).encode("a a"), (Ids{4, 0}));
  file["pre_tokenizer"]["add_prefix_space"] = true;
  EXPECT_EQ(load(file).encode("ab"), (Ids{3, 1}));
}

TEST(Tokenizer, RunsSequencesAndDigits) {
  json file = make_tokenizer({"a", "1", "2", "12", "Ġ", "Ġ1"});
  file["model"]["merges"] = {"1 2", "Ġ 1"};
  const json digits = {{"type", "Digits"}, {"individual_digits", true}};
  const json bytes = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  file["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", {digits, bytes}}};
  EXPECT_EQ(load(file).encode("a 12"), (Ids{0, 4, 1, 2}));
  file["pre_tokenizer"]["pretokenizers"][0]["individual_digits"] = false;
  EXPECT_EQ(load(file).encode("a 12"), (Ids{0, 4, 3}));
}

TEST(Tokenizer, AppliesNormalizers) {
  json file = make_tokenizer({"é", "e", "\u0301", "fi", "f", "i", "▁", "a"});
  file["model"]["merges"] = {"f i"};
  file["normalizer"] = {{"type", "NFC"}};
  EXPECT_EQ(load(file).encode("e\u0301"), (Ids{0}));
  file["normalizer"] = {{"type", "NFD"}};
  EXPECT_EQ(load(file).encode("é"), (Ids{1, 2}));
  file["normalizer"] = {{"type", "NFKC"}};
  EXPECT_EQ(load(file).encode("ﬁ"), (Ids{3}));
  const json prepend = {{"type", "Prepend"}, {"prepend", "▁"}};
  const json replace = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "▁"}};
  file["normalizer"] = {{"type", "Sequence"}, {"normalizers", {prepend, replace}}};
  EXPECT_EQ(load(file).encode("a a"), (Ids{6, 7, 6, 7}));
}

TEST(Tokenizer, NormalizesCharactersOfUnicode9Alone) {
  // U+08D3 (Unicode 11) has class 220 and would move in front of the acute accent.
  json file = make_tokenizer({"a", "\u0301", "\u08D3", "\u0316"});
  file["normalizer"] = {{"type", "NFD"}};
  EXPECT_EQ(load(file).encode("a\u0301\u08D3"), (Ids{0, 1, 2}));
  EXPECT_EQ(load(file).encode("a\u0301\u0316"), (Ids{0, 3, 1}));
}

TEST(Tokenizer, WritesTheTemplateAround) {
  json file = make_tokenizer({"a", "<s>", "</s>"});
  const auto special = [](const char* name) {
    return json{{"SpecialToken", {{"id", name}, {"type_id", 0}}}};
  };
  const json text = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  const json known = {{"<s>", {{"id", "<s>"}, {"ids", {1}}, {"tokens", {"<s>"}}}},
                      {"</s>", {{"id", "</s>"}, {"ids", {2, 2}}, {"tokens", {"x", "y"}}}}};
  const json wrap = {{"type", "TemplateProcessing"},
                     {"single", {special("<s>"), text, special("</s>")}},
                     {"pair", json::array()},
                     {"special_tokens", known}};
  const json bytes = {{"type", "ByteLevel"}, {"trim_offsets", true}};
  file["post_processor"] = {{"type", "Sequence"}, {"processors", {bytes, wrap}}};
  const Tokenizer tokenizer = load(file);
  EXPECT_EQ(tokenizer.encode("aa"), (Ids{1, 0, 0, 2, 2}));
  EXPECT_EQ(tokenizer.encode(""), (Ids{1, 2, 2}));
  EXPECT_EQ(tokenizer.encode_plain("aa"), (Ids{0, 0}));
}

TEST(Tokenizer, IgnoresTruncationAndPadding) {
  json file = make_tokenizer({"a"});
  file["truncation"] = {{"max_length", 2}, {"strategy", "LongestFirst"}};
  file["padding"] = {{"strategy", {{"Fixed", 8}}}, {"pad_id", 0}};
  EXPECT_EQ(load(file).encode("aaa"), (Ids{0, 0, 0}));
}

// The expected ids of this group are those of Hugging Face's tokenizers 0.23.
class AddedTokens : public ::testing::Test {
 protected:
  // a b c d e f g h space < > x: ids 0 to 11
  json file_ = make_tokenizer(letters("abcdefgh <>x"));
  Ids encode(const json& tokens, std::string_view text) {
    file_["added_tokens"] = tokens;
    return load(file_).encode(text);
  }
};

TEST_F(AddedTokens, TakeTheLongestOfTheLeftmost) {
  const json tokens = {added(12, "ab"), added(13, "abc"), added(14, "bcde")};
  EXPECT_EQ(encode(tokens, "abcde abd"), (Ids{13, 3, 4, 8, 12, 3}));
}

TEST_F(AddedTokens, StripWhiteSpace) {
  const json tokens = json::array({added(12, "<a>", {{"lstrip", true}, {"rstrip", true}})});
  EXPECT_EQ(encode(tokens, "b  <a>  a \n<a> b"), (Ids{1, 12, 0, 12, 1}));
  const json right = json::array({added(12, "<a>", {{"rstrip", true}})});
  EXPECT_EQ(encode(right, "b <a> \u00A0b"), (Ids{1, 8, 12, 1}));
  const json left = json::array({added(12, "<a>", {{"lstrip", true}})});
  EXPECT_EQ(encode(left, "b <a> b"), (Ids{1, 12, 8, 1}));
}

TEST_F(AddedTokens, StandAloneWhereAsked) {
  const json tokens = json::array({added(12, "ab", {{"single_word", true}})});
  EXPECT_EQ(encode(tokens, "ab abc xab ab_ ab-"),
            (Ids{12, 8, 0, 1, 2, 8, 11, 0, 1, 8, 0, 1, 8, 12}));
  EXPECT_EQ(encode(tokens, "abab ab"), (Ids{0, 1, 0, 1, 8, 12}));
}

TEST_F(AddedTokens, AreFoundInRawOrNormalizedText) {
  file_["normalizer"] = {{"type", "Replace"}, {"pattern", {{"String", "x"}}}, {"content", "a"}};
  const json tokens = {added(12, "xb", {{"normalized", true}}), added(13, "xc")};
  EXPECT_EQ(encode(tokens, "xb ab xc ac"), (Ids{12, 8, 12, 8, 13, 8, 0, 2}));
}

TEST_F(AddedTokens, AreFoundAmongHundredsAndMayStandInTheVocabulary) {
  json tokens = json::array({added(0, "a")});
  for (int i = 0; i < 500; ++i) tokens.push_back(added(12 + i, "<" + std::to_string(i) + ">"));
  EXPECT_EQ(encode(tokens, "<499>a<0>b<12>"), (Ids{511, 0, 12, 1, 24}));
  EXPECT_EQ(load(file_).size(), 512);
}

TEST(Tokenizer, RefusesTextThatIsNotUtf8) {
  const Tokenizer tokenizer = load(make_tokenizer({"a"}));
  expect_contains(error_of([&] { tokenizer.encode("a\xFF"); }), "invalid UTF-8 at byte 1");
}

TEST(Tokenizer, EncodesOnSeveralThreads) {
  json file = make_tokenizer({"a", "b", "ab", "Ġ", "Ġab"});
  file["model"]["merges"] = {"a b", "Ġ ab"};
  file["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  const Tokenizer tokenizer = load(file);
  std::vector<Ids> results(4);
  std::vector<std::thread> threads;
  for (Ids& result : results) {
    threads.emplace_back([&result, copy = tokenizer] {
      for (int i = 0; i < 50; ++i) result = copy.encode("ab ab ba");
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Ids& result : results) EXPECT_EQ(result, (Ids{2, 4, 3, 1, 0}));
}

}  // namespace
}  // namespace sagesan
