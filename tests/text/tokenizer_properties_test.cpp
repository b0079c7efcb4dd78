// A byte-level tokenizer loses nothing: what is encoded decodes to itself.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <fstream>

#include "sagesan/support/utf8.h"
#include "sagesan/text/byte_level.h"
#include "sagesan/text/detokenizer.h"
#include "text_testing.h"

namespace sagesan {
namespace {

/// A letter for each byte, and some merges.
Tokenizer byte_level_tokenizer() {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) {
    std::string letter;
    tokenization::append_byte_letters(letter, std::string(1, static_cast<char>(byte)));
    tokens.push_back(letter);
  }
  tokens.insert(tokens.end(), {"he", "ll", "hell", "\xC4\xA0h", "\xC3\x83\xC2\xA9"});
  nlohmann::json file = make_tokenizer(tokens);
  file["model"]["merges"] = {"h e", "l l", "he ll", "\xC4\xA0 h", "\xC3\x83 \xC2\xA9"};
  file["pre_tokenizer"] = {{"type", "ByteLevel"},
                           {"add_prefix_space", false},
                           {"trim_offsets", true},
                           {"use_regex", true}};
  file["decoder"] = {{"type", "ByteLevel"},
                     {"add_prefix_space", true},
                     {"trim_offsets", true},
                     {"use_regex", true}};
  return load(file);
}

RC_GTEST_PROP(TokenizerProperties, ByteLevelTextsDecodeToThemselves, (const std::string& bytes)) {
  static const Tokenizer tokenizer = byte_level_tokenizer();
  static const Detokenizer detokenizer = tokenizer.detokenizer();
  const auto words = *rc::gen::container<std::vector<std::string>>(rc::gen::element<std::string>(
      "hell", " hello", "\n", "\t ", "\xC3\xA9", "\xF0\x9F\x98\x80", "12", "'s", "h"));
  std::string text = replace_invalid_utf8(bytes);
  for (const std::string& word : words) text += word;
  RC_ASSERT(detokenizer.decode(tokenizer.encode(text)) == text);
}

RC_GTEST_PROP(TokenizerProperties, AnyTextIsEncodedOrRefused, (const std::string& bytes)) {
  static const Tokenizer tokenizer = byte_level_tokenizer();
  if (find_invalid_utf8(bytes) == std::string::npos) {
    for (const int64_t id : tokenizer.encode(bytes)) RC_ASSERT(id >= 0 && id < tokenizer.size());
  } else {
    RC_ASSERT_THROWS_AS(tokenizer.encode(bytes), InputError);
  }
}

}  // namespace
}  // namespace sagesan
