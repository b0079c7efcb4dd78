#include "sagesan/text/records.h"

#include <algorithm>

#include "text_testing.h"

namespace sagesan {
namespace {

TEST(Records, ReadsJsonLinesWithBlankLinesAndCrlf) {
  const auto records = records_of("{\"text\":\"one\"}\r\n\r\n{\"text\":\"two\\r\\n\"}\r\n");
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].text, "one");
  EXPECT_EQ(records[1].text, "two\r\n");
  EXPECT_FALSE(records[1].has_answer);
  EXPECT_TRUE(records[1].prompt.empty());
  EXPECT_TRUE(records[0].where.ends_with("data.jsonl:1"));
  EXPECT_TRUE(records[1].where.ends_with("data.jsonl:3"));
}

TEST(Records, ReadsArraysOfObjectsAndOfTextsWhateverTheName) {
  const auto objects = records_of("\n [ {\"text\": \"one\"},\n {\"text\": \"two\"} ]", {}, "x.txt");
  ASSERT_EQ(objects.size(), 2u);
  EXPECT_TRUE(objects[1].where.ends_with("x.txt[1]"));
  const auto texts = records_of("[\"one\", \"two\"]");
  ASSERT_EQ(texts.size(), 2u);
  EXPECT_EQ(texts[1].text, "two");
}

TEST(Records, ReadsOneObjectOverSeveralLines) {
  const auto records = records_of("{\n  \"question\": \"q\",\n  \"answer\": \"a\"\n}\n");
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].text, "Question: q\nAnswer: a");
}

TEST(Records, SplitsPlainTextAtBlankLines) {
  const auto records = records_of("One\r\ntwo\r\n\r\n \n\nThree\n\n", {}, "x.json");
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].text, "One\ntwo");
  EXPECT_EQ(records[1].text, "Three");
  EXPECT_TRUE(records[1].where.ends_with("x.json:6"));
}

TEST(Records, TakesBracketsAndQuotesInProseForText) {
  EXPECT_EQ(records_of("[Chorus]\nla la").size(), 1u);
  EXPECT_EQ(records_of("[1] Smith\n\n[2] Jones").size(), 2u);
  EXPECT_EQ(records_of("\"Well,\" he said.").size(), 1u);
  EXPECT_EQ(records_of("{curly} prose").size(), 1u);
}

TEST(Records, RendersByTheFirstRuleThatApplies) {
  const auto records = records_of(
      "{\"input_ids\":[3,0],\"text\":\"t\"}\n"
      "{\"text\":\"t\",\"question\":\"q\",\"answer\":\"a\"}\n"
      "{\"question\":\"q\",\"answer\":\"a\",\"perturbed_answer\":[\"x\"]}\n"
      "{\"prompt\":\"p \",\"completion\":\"c\"}\n");
  ASSERT_EQ(records.size(), 4u);
  EXPECT_EQ(records[0].input_ids, (Ids{3, 0}));
  EXPECT_TRUE(records[0].text.empty());
  EXPECT_EQ(records[1].text, "t");
  EXPECT_EQ(records[2].text, "Question: q\nAnswer: a");
  EXPECT_EQ(records[2].prompt, "Question: q\nAnswer:");
  EXPECT_TRUE(records[2].has_answer);
  EXPECT_EQ(records[3].text, "p c");
  EXPECT_EQ(records[3].prompt, "p ");
  EXPECT_TRUE(records[3].has_answer);
}

TEST(Records, RendersNamedFields) {
  const std::string line = R"({"a":"x","b":"y","c":"z","text":"t"})";
  EXPECT_EQ(records_of(line, {{"b"}})[0].text, "y");
  const Record pair = records_of(line, {{"a", "b"}})[0];
  EXPECT_EQ(pair.text, "Question: x\nAnswer: y");
  EXPECT_EQ(pair.prompt, "Question: x\nAnswer:");
  EXPECT_TRUE(pair.has_answer);
  const Record many = records_of(line, {{"c", "a", "b"}})[0];
  EXPECT_EQ(many.text, "z\nx\ny");
  EXPECT_FALSE(many.has_answer);
}

/// Content that must be refused, and what the message must say.
struct RecordFault {
  std::string name;
  std::string content;
  std::string message;
  std::vector<std::string> fields = {};
};

class RecordErrors : public ::testing::TestWithParam<RecordFault> {};

TEST_P(RecordErrors, AreNamed) {
  const ScratchFile file(GetParam().content);
  const std::string message = error_of([&] { read_records(file.path(), {GetParam().fields}); });
  expect_contains(message, file.path().string());
  expect_contains(message, GetParam().message);
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
}

const std::string kGood = "{\"text\":\"a\"}\n";

INSTANTIATE_TEST_SUITE_P(
    All, RecordErrors,
    ::testing::ValuesIn(std::vector<RecordFault>{
        {"empty", "", "data.jsonl: empty"},
        {"blank", " \n\t\r\n", "holds nothing but white space"},
        {"gzip", "\x1F\x8B\x08", "gzip-compressed (unpack it first)"},
        {"lfs", "version https://git-lfs.github.com/spec/v1\n", "git-LFS pointer"},
        {"byte_order_mark", "\xEF\xBB\xBF{}", "byte-order mark"},
        {"utf16", "\xFF\xFE{", "UTF-16"},
        {"invalid_utf8", kGood + "{\"text\":\"\xC3(\"}",
         ":2: invalid UTF-8 at byte 22 of the file"},
        {"line_is_no_json", kGood + "oops\n" + kGood, ":2: not valid JSON"},
        {"first_line_is_no_json", "{\"text\": oops}\n" + kGood, ":1: not valid JSON"},
        {"cut_last_line", kGood + "{\"text\":\"b", ":2: not valid JSON"},
        {"cut_last_line_hint", kGood + "{\"text\":\"b", "the file may be cut short"},
        {"cut_array", "[{\"text\":\"a\"},{\"te", "not valid JSON"},
        {"line_is_a_number", kGood + "7\n", ":2: expected a JSON object, found number"},
        {"two_values", "{\"text\":\"a\"} {\"text\":\"b\"}\n", ":1: not valid JSON"},
        {"duplicate_key", "{\"text\":\"a\",\"text\":\"b\"}\n", "stands twice"},
        {"empty_array", "[]", "an empty array"},
        {"array_of_numbers", "[1, 2]", "[0]: expected a JSON object, found number"},
        {"array_with_null", "[\"a\", null]", "[1]: expected a JSON object, found null"},
        {"blank_element", "[\"a\", \" \"]", "[1]: the text is blank"},
        {"no_field", "{}", "it has no field; understood are 'input_ids', 'text'"},
        {"other_fields", "{\"body\":\"b\",\"t\":1}", "it has 'body', 't'"},
        {"remedy", "{\"body\":\"b\"}", "name others with --retain-fields"},
        {"null_text", "{\"text\":null}", "field 'text': expected text, found null"},
        {"number_text", "{\"text\":1}", "field 'text': expected text, found number"},
        {"blank_text", "{\"text\":\"\\n \"}", "the text is blank"},
        {"missing_answer", "{\"question\":\"q\"}", "no field 'answer'"},
        {"null_answer", "{\"question\":\"q\",\"answer\":null}", "field 'answer': expected text"},
        {"missing_completion", "{\"prompt\":\"q\"}", "no field 'completion'"},
        {"ids_empty", "{\"input_ids\":[]}", "field 'input_ids': empty"},
        {"ids_negative", "{\"input_ids\":[0,-1]}", "field 'input_ids': element 1 is negative: -1"},
        {"ids_fraction", "{\"input_ids\":[1.5]}", "element 0: expected an integer, found number"},
        {"ids_text", "{\"input_ids\":\"1 2\"}", "expected an array of token ids, found string"},
        {"ids_null", "{\"input_ids\":null}", "expected an array of token ids, found null"},
        {"ids_overflow", "{\"input_ids\":[18446744073709551615]}", "does not fit in 64 bits"},
        {"named_field_missing", kGood, "no field 'b'", {"b"}},
        {"named_field_of_text", "plain", "plain text has no fields", {"b"}},
        {"named_field_of_texts", "[\"a\"]", "[0]: a text without fields", {"b"}},
    }),
    [](const auto& fault) { return fault.param.name; });

TEST(Records, EscapesNamesFromTheFile) {
  const std::string message = error_of([] { records_of("{\"\\u001b[31m\":1}"); });
  EXPECT_EQ(message.find('\x1B'), std::string::npos);
}

TEST(Records, RefusesBadOptionsAndMissingFiles) {
  expect_contains(error_of([] { records_of(kGood, {{""}}); }, ExitCode::kUsage), "name is empty");
  expect_contains(error_of(
                      [] {
                        records_of(kGood, {{"a", "a"}});
                      },
                      ExitCode::kUsage),
                  "stands twice");
  expect_contains(error_of([] { read_records("/nowhere/x.jsonl"); }), "no such file");
  expect_contains(error_of([] { read_records("/tmp"); }), "is a directory");
}

/// Splits like GPT-2, with a begin token in front.
Tokenizer small_tokenizer() {
  std::vector<std::string> tokens = letters("Question:Awr pc");
  std::sort(tokens.begin(), tokens.end());
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  tokens.insert(tokens.begin(), {"<s>", "Ġ", "Ċ", "cc"});
  nlohmann::json file = make_tokenizer(tokens);
  file["model"]["merges"] = {"c c"};
  file["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  const nlohmann::json begin = {{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}};
  const nlohmann::json text = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  file["post_processor"] = {{"type", "TemplateProcessing"},
                            {"single", {begin, text}},
                            {"special_tokens", {{"<s>", {{"id", "<s>"}, {"ids", {0}}}}}}};
  return load(file);
}

TEST(EncodeRecord, FindsTheFirstTokenOfTheAnswer) {
  const Tokenizer tokenizer = small_tokenizer();
  const Record record = records_of(R"({"question":"i","answer":"o"})")[0];
  const EncodedText encoded = encode_record(&tokenizer, record, 512);
  EXPECT_EQ(encoded.ids.size(), 1 + record.text.size());
  EXPECT_EQ(encoded.answer_start, 1 + record.prompt.size());
  EXPECT_FALSE(encoded.cut);
  const EncodedText cut = encode_record(&tokenizer, record, 4);
  EXPECT_EQ(cut.ids.size(), 4u);
  EXPECT_EQ(cut.answer_start, 4u);
  EXPECT_TRUE(cut.cut);
}

TEST(EncodeRecord, CountsATokenAcrossTheBorderToTheAnswer) {
  const Tokenizer tokenizer = small_tokenizer();
  const Record record = records_of(R"({"prompt":"pc","completion":"co"})")[0];
  const EncodedText encoded = encode_record(&tokenizer, record, 512);
  EXPECT_EQ(encoded.ids.size(), 4u);  // <s> p cc o
  EXPECT_EQ(encoded.answer_start, 2u);
}

TEST(EncodeRecord, NamesTheRecordThatCannotBeEncoded) {
  nlohmann::json file = make_tokenizer({});
  file["model"] = nlohmann::json::parse(R"({"type":"Unigram","unk_id":null,"vocab":[["a",-1.0]]})");
  const Tokenizer tokenizer = load(file);
  const auto records = records_of("{\"text\":\"a\"}\n{\"text\":\"ab\"}\n");
  EXPECT_EQ(encode_record(&tokenizer, records[0], 9).ids, Ids{0});
  const std::string message = error_of([&] { encode_record(&tokenizer, records[1], 9); });
  expect_contains(message, "data.jsonl:2: ");
  expect_contains(message, "a text needs an unknown token");
}

TEST(EncodeRecord, TakesIdsAsTheyAreWithoutATokenizer) {
  const auto records = records_of("{\"input_ids\":[5,6,7]}\n{\"text\":\"o\"}\n");
  const EncodedText encoded = encode_record(nullptr, records[0], 2);
  EXPECT_EQ(encoded.ids, (Ids{5, 6}));
  EXPECT_EQ(encoded.answer_start, 0u);
  EXPECT_TRUE(encoded.cut);
  EXPECT_FALSE(encode_record(nullptr, records[0], 3).cut);
  const std::string message = error_of([&] { encode_record(nullptr, records[1], 2); });
  expect_contains(message, "data.jsonl:2: a text, but the model has no tokenizer.json");
  const Tokenizer tokenizer = small_tokenizer();
  EXPECT_EQ(encode_record(&tokenizer, records[1], 9).answer_start, 0u);
}

}  // namespace
}  // namespace sagesan
