// A byte-level tokenizer loses nothing: what is encoded decodes to itself.
#include <fmt/format.h>
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

/// Those bytes, and then words that the tokenizers know.
std::string any_text(const std::string& bytes) {
  const auto words = *rc::gen::container<std::vector<std::string>>(rc::gen::element<std::string>(
      "hell", " hello", "\n", " ", "\t ", "\xC3\xA9", "\xF0\x9F\x98\x80", "12", "'s", "h"));
  std::string text = replace_invalid_utf8(bytes);
  for (const std::string& word : words) text += word;
  return text;
}

RC_GTEST_PROP(TokenizerProperties, ByteLevelTextsDecodeToThemselves, (const std::string& bytes)) {
  static const Tokenizer tokenizer = byte_level_tokenizer();
  static const Detokenizer detokenizer = tokenizer.detokenizer();
  const std::string text = any_text(bytes);
  RC_ASSERT(detokenizer.decode(tokenizer.encode(text)) == text);
}

/// As Llama 2's: words begin with a mark, and what no token stands for is bytes.
Tokenizer byte_fallback_tokenizer() {
  std::vector<std::string> tokens = {"<unk>"};
  for (int byte = 0; byte < 256; ++byte) tokens.push_back(fmt::format("<0x{:02X}>", byte));
  for (const char* piece : {"\u2581", "h", "e", "l", "he", "ll", "\u2581h", "\n", "1"})
    tokens.emplace_back(piece);
  json file = make_tokenizer(tokens);
  file["model"].update({{"unk_token", "<unk>"},
                        {"byte_fallback", true},
                        {"fuse_unk", true},
                        {"merges", {"h e", "l l", "\u2581 h"}}});
  const auto replace = [](const char* from, const char* to) {
    return json{{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
  };
  file["normalizer"] = {
      {"type", "Sequence"},
      {"normalizers", {{{"type", "Prepend"}, {"prepend", "\u2581"}}, replace(" ", "\u2581")}}};
  file["decoder"] = {{"type", "Sequence"},
                     {"decoders",
                      {replace("\u2581", " "),
                       {{"type", "ByteFallback"}},
                       {{"type", "Fuse"}},
                       {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}};
  return load(file);
}

RC_GTEST_PROP(TokenizerProperties, TextsOfBytesAndMarksDecodeToThemselves,
              (const std::string& bytes)) {
  static const Tokenizer tokenizer = byte_fallback_tokenizer();
  static const Detokenizer detokenizer = tokenizer.detokenizer();
  const std::string text = any_text(bytes);
  RC_PRE(text.find("\u2581") == std::string::npos);  // the mark itself becomes a space
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
