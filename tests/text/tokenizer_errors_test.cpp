#include <functional>

#include "text_testing.h"

namespace sagesan {
namespace {

using nlohmann::json;

/// A change that breaks a sound tokenizer.json, and what the message must say.
struct TokenizerFault {
  std::string name;
  std::function<void(json&)> apply;
  std::string message;
};

void set_split(json& file, const json& pattern) {
  file["pre_tokenizer"] = {{"type", "Split"}, {"pattern", pattern}, {"behavior", "Isolated"}};
}

const std::vector<TokenizerFault>& faults() {
  static const std::vector<TokenizerFault> list = {
      {"unknown_model", [](json& f) { f["model"]["type"] = "WordPiece"; },
       "model: type 'WordPiece' is not supported"},
      {"model_without_type_and_merges",
       [](json& f) {
         f["model"].erase("type");
         f["model"].erase("merges");
       },
       "model: type '' is not supported"},
      {"missing_model", [](json& f) { f.erase("model"); }, "key 'model': missing"},
      {"missing_vocabulary", [](json& f) { f["model"].erase("vocab"); }, "key 'vocab': missing"},
      {"empty_vocabulary", [](json& f) { f["model"]["vocab"] = json::object(); }, "vocab: empty"},
      {"vocabulary_is_a_list", [](json& f) { f["model"]["vocab"] = {"a"}; },
       "vocab: expected a JSON object, found array"},
      {"negative_id", [](json& f) { f["model"]["vocab"]["a"] = -1; },
       "vocab: key 'a': expected 0 to"},
      {"huge_id", [](json& f) { f["model"]["vocab"]["a"] = int64_t{1} << 40; },
       "found 1099511627776"},
      {"fractional_id", [](json& f) { f["model"]["vocab"]["a"] = 0.5; }, "expected an integer"},
      {"duplicate_id", [](json& f) { f["model"]["vocab"]["b"] = 0; }, "the id 0 stands twice"},
      {"merge_of_an_unknown_token", [](json& f) { f["model"]["merges"] = {"a z"}; },
       "merges[0]: 'z' is not in the vocabulary"},
      {"merge_into_an_unknown_token",
       [](json& f) {
         f["model"]["merges"] = {"a b", "b a"};
       },
       "merges[1]: 'ba' is not in the vocabulary"},
      {"merge_of_three", [](json& f) { f["model"]["merges"] = {"a b c"}; },
       "expected two tokens with one space between, found 'a b c'"},
      {"merge_is_a_number", [](json& f) { f["model"]["merges"] = {1}; },
       "merges[0]: expected a text or a pair of texts"},
      {"merge_of_numbers",
       [](json& f) {
         f["model"]["merges"] = {{1, 2}};
       },
       "expected a text or a pair"},
      {"merges_are_text", [](json& f) { f["model"]["merges"] = "a b"; },
       "merges: expected an array, found string"},
      {"dropout", [](json& f) { f["model"]["dropout"] = 0.1; }, "key 'dropout': is not supported"},
      {"subword_prefix", [](json& f) { f["model"]["continuing_subword_prefix"] = "##"; },
       "key 'continuing_subword_prefix': is not supported"},
      {"word_suffix", [](json& f) { f["model"]["end_of_word_suffix"] = "</w>"; },
       "key 'end_of_word_suffix': is not supported"},
      {"unknown_token_unknown", [](json& f) { f["model"]["unk_token"] = "<unk>"; },
       "'<unk>' is not in the vocabulary"},
      {"unknown_model_option", [](json& f) { f["model"]["magic"] = 1; },
       "model: the option 'magic' is not supported"},
      {"unknown_part", [](json& f) { f["magic"] = 1; }, "the option 'magic' is not supported"},
      {"version", [](json& f) { f["version"] = "2.0"; }, "expected '1.0', found '2.0'"},
      {"normalizer",
       [](json& f) {
         f["normalizer"] = {{"type", "BertNormalizer"}};
       },
       "normalizer: type 'BertNormalizer' is not supported"},
      {"normalizer_in_a_sequence",
       [](json& f) {
         const json steps = {{{"type", "NFC"}}, {{"type", "Precompiled"}}};
         f["normalizer"] = {{"type", "Sequence"}, {"normalizers", steps}};
       },
       "normalizer[1]: type 'Precompiled' is not supported"},
      {"normalizer_is_text", [](json& f) { f["normalizer"] = "NFC"; },
       "normalizer: expected a JSON object, found string"},
      {"pre_tokenizer",
       [](json& f) {
         f["pre_tokenizer"] = {{"type", "UnicodeScripts"}};
       },
       "pre_tokenizer: type 'UnicodeScripts' is not supported"},
      {"pre_tokenizer_option",
       [](json& f) {
         f["pre_tokenizer"] = {{"type", "ByteLevel"}, {"magic", true}};
       },
       "pre_tokenizer: the option 'magic' is not supported"},
      {"metaspace_without_replacement",
       [](json& f) {
         f["pre_tokenizer"] = {{"type", "Metaspace"}};
       },
       "key 'replacement': missing"},
      {"metaspace_with_two_replacements",
       [](json& f) {
         f["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "ab"}};
       },
       "key 'replacement': expected one character, found 'ab'"},
      {"metaspace_scheme",
       [](json& f) {
         f["pre_tokenizer"] = {
             {"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", "last"}};
       },
       "key 'prepend_scheme': 'last' is not supported"},
      {"metaspace_that_contradicts_itself",
       [](json& f) {
         f["pre_tokenizer"] = {{"type", "Metaspace"},
                               {"replacement", "_"},
                               {"prepend_scheme", "first"},
                               {"add_prefix_space", false}};
       },
       "contradicts the prepend_scheme 'first'"},
      {"metaspace_first_behind_a_normalizer",
       [](json& f) {
         f["normalizer"] = {{"type", "NFKC"}};
         f["pre_tokenizer"] = {
             {"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", "first"}};
       },
       "'first' is not supported behind what adds or removes characters"},
      {"strip_without_sides",
       [](json& f) {
         f["normalizer"] = {{"type", "Strip"}, {"strip_left", true}};
       },
       "key 'strip_right': missing"},
      {"roberta_without_an_id",
       [](json& f) {
         f["post_processor"] = {
             {"type", "RobertaProcessing"}, {"sep", {"</s>", 1}}, {"cls", {"x"}}};
       },
       "key 'cls': expected a token and its id"},
      {"unigram_with_a_map",
       [](json& f) {
         f["model"] = {{"type", "Unigram"}, {"vocab", {{"a", 1}}}};
       },
       "vocab: expected a list of tokens and scores"},
      {"unigram_without_a_score",
       [](json& f) {
         f["model"] = {{"type", "Unigram"}, {"vocab", json::array({json::array({"a"})})}};
       },
       "vocab[0]: expected a token and a score"},
      {"unigram_unknown_id",
       [](json& f) {
         f["model"] = {
             {"type", "Unigram"}, {"vocab", json::array({json::array({"a", -1})})}, {"unk_id", 1}};
       },
       "key 'unk_id': expected 0 to 0"},
      {"added_token_that_vanishes",
       [](json& f) {
         f["normalizer"] = {{"type", "Strip"}, {"strip_left", true}, {"strip_right", true}};
         f["added_tokens"] = {{{"id", 3}, {"content", "  "}, {"normalized", true}}};
       },
       "added_tokens[0]: nothing is left of it once normalized"},
      {"sequence_without_steps",
       [](json& f) {
         f["pre_tokenizer"] = {{"type", "Sequence"}};
       },
       "key 'pretokenizers': missing"},
      {"behavior",
       [](json& f) {
         set_split(f, {{"String", "a"}});
         f["pre_tokenizer"]["behavior"] = "Sideways";
       },
       "the behavior 'Sideways' is not supported"},
      {"pattern_kind",
       [](json& f) {
         set_split(f, {{"Glob", "a"}});
       },
       "pattern: the option 'Glob' is not supported"},
      {"expression",
       [](json& f) {
         set_split(f, {{"Regex", "a**(b"}});
       },
       "unclosed group"},
      {"expression_of_another_kind",
       [](json& f) {
         set_split(f, {{"Regex", R"(\bx)"}});
       },
       R"('\b' in the expression '\bx' is not supported)"},
      {"post_processor",
       [](json& f) {
         f["post_processor"] = {{"type", "Magic"}};
       },
       "post_processor: type 'Magic' is not supported"},
      {"template_without_text",
       [](json& f) {
         f["post_processor"] = {{"type", "TemplateProcessing"}, {"single", json::array()}};
       },
       "expected the text exactly once"},
      {"template_with_an_unknown_token",
       [](json& f) {
         const json part = {{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}};
         f["post_processor"] = {{"type", "TemplateProcessing"}, {"single", {part}}};
       },
       "special_tokens: key '<s>': missing"},
      {"template_with_an_id_of_no_token",
       [](json& f) {
         const json part = {{"SpecialToken", {{"id", "<s>"}}}};
         const json text = {{"Sequence", {{"id", "A"}}}};
         f["post_processor"] = {{"type", "TemplateProcessing"},
                                {"single", {part, text}},
                                {"special_tokens", {{"<s>", {{"ids", {77}}}}}}};
       },
       "post_processor: the id 77 belongs to no token"},
      {"added_tokens_are_an_object", [](json& f) { f["added_tokens"] = json::object(); },
       "added_tokens: expected an array, found object"},
      {"added_token_without_content",
       [](json& f) {
         f["added_tokens"] = {{{"id", 3}}};
       },
       "added_tokens[0]: key 'content': missing"},
      {"empty_added_token",
       [](json& f) {
         f["added_tokens"] = {{{"id", 3}, {"content", ""}}};
       },
       "key 'content': is empty"},
      {"added_token_twice",
       [](json& f) {
         const json token = {{"id", 3}, {"content", "<s>"}};
         f["added_tokens"] = {token, token};
       },
       "'<s>' stands twice"},
      {"added_token_id_with_a_gap",
       [](json& f) {
         f["added_tokens"] = {{{"id", 9}, {"content", "<s>"}}};
       },
       "'<s>' has 9, but Hugging Face's tokenizers would give it 3"},
      {"added_token_against_the_vocabulary",
       [](json& f) {
         f["added_tokens"] = {{{"id", 3}, {"content", "a"}}};
       },
       "'a' has 3, but Hugging Face's tokenizers would give it 0"},
      {"negative_added_id",
       [](json& f) {
         f["added_tokens"] = {{{"id", -1}, {"content", "<s>"}}};
       },
       "key 'id': expected 0 to"},
      {"flag_of_another_type",
       [](json& f) {
         f["added_tokens"] = {{{"id", 3}, {"content", "<s>"}, {"lstrip", "yes"}}};
       },
       "key 'lstrip': expected true or false, found string"},
      {"long_added_token",
       [](json& f) {
         f["added_tokens"] = {{{"id", 3}, {"content", std::string(5000, 'x')}}};
       },
       "longer than 4096 bytes"},
  };
  return list;
}

class TokenizerErrors : public ::testing::TestWithParam<TokenizerFault> {};

TEST_P(TokenizerErrors, AreNamed) {
  json file = make_tokenizer({"a", "b", "ab"});
  file["model"]["merges"] = {"a b"};
  load(file);
  GetParam().apply(file);
  const ScratchFile scratch(file.dump(), "tokenizer.json");
  const std::string message = error_of([&] { Tokenizer::load(scratch.path()); });
  expect_contains(message, scratch.path().string());
  expect_contains(message, GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(All, TokenizerErrors, ::testing::ValuesIn(faults()),
                         [](const auto& fault) { return fault.param.name; });

TEST(TokenizerFile, IsNoJson) {
  const auto message_of = [](std::string_view content) {
    const ScratchFile file(content, "tokenizer.json");
    return error_of([&] { Tokenizer::load(file.path()); });
  };
  expect_contains(message_of(""), "not valid JSON");
  expect_contains(message_of("{\"version\":"), "not valid JSON");
  expect_contains(message_of("[]"), "expected a JSON object, found array");
  expect_contains(message_of("version https://git-lfs.github.com/spec/v1\n"), "git-LFS pointer");
  expect_contains(error_of([] { Tokenizer::load("/nowhere/tokenizer.json"); }), "no such file");
}

}  // namespace
}  // namespace sagesan
