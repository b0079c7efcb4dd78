#include "sagesan/text/detokenizer.h"

#include "text_testing.h"

namespace sagesan {
namespace {

using nlohmann::json;

std::string decode(const json& decoder, const std::vector<std::string>& tokens,
                   const json& added = json::array()) {
  json file = make_tokenizer(tokens);
  file["decoder"] = decoder;
  file["added_tokens"] = added;
  Ids ids;
  for (size_t i = 0; i < tokens.size() + added.size(); ++i) ids.push_back(static_cast<int64_t>(i));
  return load(file).detokenizer().decode(ids);
}

json sequence(const std::vector<json>& decoders) {
  return {{"type", "Sequence"}, {"decoders", decoders}};
}

json replace(const char* from, const char* to) {
  return {{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
}

TEST(Detokenizer, WithoutADecoderTokensStandApart) {
  EXPECT_EQ(decode(nullptr, {"a", "b"}), "a b");
}

TEST(Detokenizer, ByteLevelLettersAreBytes) {
  const json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", true}};
  EXPECT_EQ(decode(byte_level, {"Ġna", "Ã", "¯ve", "Ċ"}), " naïve\n");
  // Cut in the middle: one mark for the start of a character, one for each byte that begins none.
  EXPECT_EQ(decode(byte_level, {"âĤ", "x", "ī"}), "\xEF\xBF\xBDx\xEF\xBF\xBD");
  EXPECT_EQ(decode(byte_level, {"a b", "Ġ中"}), "a bĠ中");  // no letters: as they are
}

TEST(Detokenizer, MetaspaceLosesTheMarkThatTheEncoderSet) {
  json metaspace = {{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "first"}};
  EXPECT_EQ(decode(metaspace, {"▁▁a", "▁b"}), "a b");
  metaspace["prepend_scheme"] = "never";
  EXPECT_EQ(decode(metaspace, {"▁▁a", "▁b"}), "  a b");
}

TEST(Detokenizer, SentencePieceAsPublished) {
  const json llama = sequence({replace("▁", " "),
                               {{"type", "ByteFallback"}},
                               {{"type", "Fuse"}},
                               {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}});
  EXPECT_EQ(decode(llama, {"▁▁caf", "<0xC3>", "<0xA9>", "▁x"}), " café x");
  EXPECT_EQ(decode(llama, {"<0xC3>", "<0xC4>", "a", "<0xE2>"}),
            "\xEF\xBF\xBD\xEF\xBF\xBD"
            "a\xEF\xBF\xBD");
}

TEST(Detokenizer, SpecialTokensAndUnknownIdsAreLeftOut) {
  const json added = {{{"id", 1}, {"content", "<end>"}, {"special", true}},
                      {{"id", 2}, {"content", "<shown>"}, {"special", false}}};
  EXPECT_EQ(decode({{"type", "Fuse"}}, {"a"}, added), "a<shown>");
  EXPECT_EQ(load(make_tokenizer({"a"})).detokenizer().decode({0, 7, -1, 0}), "a a");
}

TEST(Detokenizer, RefusesIdsFarBeyondTheTokens) {
  json file = make_tokenizer({"a"});
  file["model"]["vocab"]["b"] = (1 << 20) + 1;
  EXPECT_EQ(load(file).detokenizer().decode({0, (1 << 20) + 1}), "a b");
  file["model"]["vocab"]["b"] = 1 << 25;
  const Tokenizer tokenizer = load(file);  // to encode with
  expect_contains(error_of([&] { tokenizer.detokenizer(); }),
                  "tokenizer.json: ids up to 33554432 for 2 tokens");
}

TEST(Detokenizer, WhatIsNotRunIsRefusedWhereItIsNeeded) {
  json file = make_tokenizer({"a"});
  file["decoder"] = {{"type", "CTC"}};
  const Tokenizer tokenizer = load(file);  // to encode with
  expect_contains(error_of([&] { tokenizer.detokenizer(); }),
                  "tokenizer.json: decoder: type 'CTC' is not supported");
  file["decoder"] = sequence({{{"type", "Strip"}, {"content", "ab"}}});
  expect_contains(error_of([&] { load(file).detokenizer(); }),
                  "decoder[0]: key 'content': expected one character, found 'ab'");
  file["decoder"] = {{"type", "ByteFallback"}, {"strict", true}};
  expect_contains(error_of([&] { load(file).detokenizer(); }), "option 'strict'");
}

TEST(CleanUpSpaces, InFrontOfPunctuationAndContractions) {
  EXPECT_EQ(clean_up_spaces("He did n't , ' we 're ' ; it 's . . ."), "He didn't,'we're'; it's...");
  EXPECT_EQ(strip_space(" \n a b\u00A0"), "a b");
}

}  // namespace
}  // namespace sagesan
