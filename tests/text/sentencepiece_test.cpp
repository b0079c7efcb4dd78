#include "sagesan/text/sentencepiece.h"

#include <cstring>

#include "text_testing.h"

// tests/python/test_sentencepiece.py compares ids with SentencePiece's own program.
namespace sagesan {
namespace {

std::string field(int number, std::string_view bytes) {
  return std::string{static_cast<char>(number << 3 | 2), static_cast<char>(bytes.size())}.append(
      bytes);
}

std::string field(int number, int value) {
  return {static_cast<char>(number << 3), static_cast<char>(value)};
}

std::string piece(std::string_view text, float score, int kind) {
  std::string bits(4, '\0');
  std::memcpy(bits.data(), &score, 4);
  return field(1, field(1, text) + static_cast<char>(2 << 3 | 5) + bits + field(3, kind));
}

/// <unk> <s> </s> ▁ a b ab ▁a: a BPE model without byte fallback.
std::string model_bytes() {
  return piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3) + piece("▁", -3, 1) +
         piece("a", -4, 1) + piece("b", -5, 1) + piece("ab", -1, 1) + piece("▁a", -2, 1) +
         field(2, field(3, 2)) + field(3, field(1, "identity") + field(4, 0));
}

Tokenizer load_model(const std::string& bytes) {
  const ScratchFile file(bytes, "tokenizer.model");
  return *find_tokenizer(file.path().parent_path());
}

TEST(SentencePiece, MergesByScoreWithASpaceInFront) {
  const Tokenizer tokenizer = load_model(model_bytes());
  EXPECT_EQ(tokenizer.encode("ab a"), (Ids{1, 3, 6, 7}));
  EXPECT_EQ(tokenizer.encode("xyb"), (Ids{1, 3, 0, 5}));
  EXPECT_EQ(tokenizer.encode("a</s>a"), (Ids{1, 7, 2, 7}));
  EXPECT_EQ(tokenizer.encode(""), (Ids{1}));
  EXPECT_EQ(tokenizer.size(), 8);
}

TEST(SentencePiece, IsSecondToTokenizerJson) {
  const ScratchFile file(model_bytes(), "tokenizer.model");
  std::ofstream(file.path().parent_path() / "tokenizer.json") << make_tokenizer({"a"}).dump();
  EXPECT_EQ(find_tokenizer(file.path().parent_path())->encode("a"), (Ids{0}));
}

// Every prefix of a file, and every file with one byte changed, is read or refused.
TEST(SentencePiece, RefusesWhatIsBroken) {
  const std::string whole = model_bytes();
  size_t refused = 0;
  const auto check = [&](const std::string& bytes) {
    try {
      EXPECT_FALSE(load_model(bytes).encode("ab").empty());
    } catch (const InputError&) {
      ++refused;
    }
  };
  for (size_t size = 0; size < whole.size(); ++size) check(whole.substr(0, size));
  EXPECT_EQ(refused, whole.size());  // the rules at the end are always missing or cut
  for (size_t i = 0; i < whole.size(); ++i) {
    for (const int bit : {0x01, 0x10, 0x80}) {
      std::string changed = whole;
      changed[i] = static_cast<char>(changed[i] ^ bit);
      check(changed);
    }
  }
  EXPECT_GT(refused, 2 * whole.size());
}

}  // namespace
}  // namespace sagesan
