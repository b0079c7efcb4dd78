// Records through a template, and the layouts in which benchmarks are published.
#include <algorithm>

#include "sagesan/text/records.h"
#include "text_testing.h"

namespace sagesan {
namespace {

RecordOptions with_template(const std::string& name) {
  return {.chat = *find_named_template(name)};
}

constexpr const char* kQuestionAnswer = R"({"question":"q","answer":"a","text":"t"})";

TEST(RenderedRecords, AreTurnsHoweverTheyAreNamed) {
  const auto records = records_of(
      "{\"question\":\"q\",\"answer\":\"a\",\"text\":\"t\"}\n"
      "{\"prompt\":\"q\",\"completion\":\"a\"}\n"
      "{\"prompt\":\"q\",\"gt\":\"a\"}\n"
      "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},"
      "{\"role\":\"assistant\",\"content\":\"a\"}],\"question\":\"x\",\"text\":\"t\"}\n"
      "{\"input_ids\":[1,2],\"question\":\"x\"}\n",
      with_template("zephyr"));
  ASSERT_EQ(records.size(), 5u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_TRUE(records[i].text.ends_with("<|user|>\nq</s>\n<|assistant|>\na</s>\n")) << i;
    EXPECT_TRUE(records[i].prompt.ends_with("</s>\n<|assistant|>\n")) << i;
    EXPECT_TRUE(records[i].has_answer);
    EXPECT_FALSE(records[i].own_special_tokens);
    EXPECT_EQ(records[i].end, "</s>");
  }
  EXPECT_EQ(records[4].input_ids, (Ids{1, 2}));
}

TEST(RenderedRecords, TakeNamedFieldsAsQuestionAndAnswer) {
  RecordOptions options = with_template("plain");
  options.fields = {"a", "b"};
  const Record record = records_of(R"({"b":"y","a":"x"})", options)[0];
  EXPECT_EQ(record.text, "Question: x\nAnswer: y");
  EXPECT_TRUE(record.own_special_tokens);
}

TEST(RenderedRecords, TakeAConversationWithoutAnAnswerAsAWhole) {
  const Record record =
      records_of(R"({"messages":[{"role":"user","content":"q"}]})", with_template("gemma"))[0];
  EXPECT_EQ(record.text, "<bos><start_of_turn>user\nq<end_of_turn>\n");
  EXPECT_FALSE(record.has_answer);
  EXPECT_TRUE(record.prompt.empty());
}

TEST(RenderedRecords, WithoutTurnsAreRefused) {
  const auto refuse = [](std::string_view content, const std::string& part) {
    const std::string message = error_of([&] { records_of(content, with_template("llama3")); });
    expect_contains(message, part);
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  };
  const std::string reason = "a text without turns, for which the template llama3 has no place";
  refuse("{\"question\":\"q\",\"answer\":\"a\"}\n{\"text\":\"t\"}", ":2: " + reason);
  refuse("[\"t\"]", "[0]: " + reason);
  refuse("plain prose", "data.jsonl: " + reason);
  refuse("{\"body\":\"b\"}", "it has 'body'");
  refuse("{\"question\":\"q\"}", "no field 'answer'");
  refuse("{\"question\":\" \",\"answer\":\"\"}", ":1: the text is blank");
  refuse("{\"messages\":\"m\"}", ":1: field 'messages': expected a list");
  refuse("{\"messages\":[]}", ":1: field 'messages': expected a list");
  refuse("{\"messages\":[1]}", ":1: message 1");
  refuse("{\"messages\":[{\"role\":\"user\"}]}", ":1: message 1: key 'content'");
  refuse(R"({"messages":[{"role":"assistant","content":"","tool_calls":[{}]}]})",
         ":1: message 1: key 'tool_calls': calls of tools are not rendered");
  refuse("{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"q\"}]}]}",
         ":1: message 1: key 'content'");
  refuse(
      "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"\\u001b\","
      "\"content\":\"a\"}]}",
      ":1: message 2: the template llama3 has no role '");
  expect_contains(error_of([] { records_of(R"({"messages":[{"role":"user","content":"q"}]})"); }),
                  "'messages' need a template: --retain-template or --chat-template");
}

/// Letters, with an end token and one that the tokenizer opens texts with.
nlohmann::json small_tokenizer(const std::vector<std::string>& added) {
  nlohmann::json file = make_tokenizer({"<unk>"});
  file["model"]["unk_token"] = "<unk>";
  for (const char letter : std::string("aq \n:<|>")) {
    file["model"]["vocab"][std::string(1, letter)] = file["model"]["vocab"].size();
  }
  for (const std::string& token : added) {
    const size_t id = file["model"]["vocab"].size();
    file["model"]["vocab"][token] = id;
    file["added_tokens"].push_back({{"id", id},
                                    {"content", token},
                                    {"single_word", false},
                                    {"lstrip", false},
                                    {"rstrip", false},
                                    {"normalized", false},
                                    {"special", true}});
  }
  return file;
}

nlohmann::json opened_by(nlohmann::json file, const std::string& token) {
  const auto id = file["model"]["vocab"][token];
  file["post_processor"] = {{"type", "TemplateProcessing"},
                            {"single",
                             {{{"SpecialToken", {{"id", token}, {"type_id", 0}}}},
                              {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}},
                            {"special_tokens", {{token, {{"id", token}, {"ids", {id}}}}}}};
  return file;
}

TEST(RenderedRecords, OpenAndCloseOnce) {
  const nlohmann::json file =
      opened_by(small_tokenizer({"<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"}), "<bos>");
  const Tokenizer tokenizer = load(file);
  const auto id = [&](const std::string& token) {
    return file["model"]["vocab"][token].get<int64_t>();
  };
  const EncodedText gemma =
      encode_record(&tokenizer, records_of(kQuestionAnswer, with_template("gemma"))[0], 512);
  EXPECT_EQ(std::count(gemma.ids.begin(), gemma.ids.end(), id("<bos>")), 1);
  EXPECT_EQ(gemma.ids.front(), id("<bos>"));
  EXPECT_EQ(gemma.ids.back(), id("<eos>"));
  EXPECT_EQ(gemma.ids[gemma.answer_start], id("a"));
  EXPECT_EQ(gemma.ids[gemma.answer_start - 1], id("\n"));

  RecordOptions plain = with_template("plain");
  plain.chat->end = "<eos>";
  const EncodedText text = encode_record(&tokenizer, records_of(kQuestionAnswer, plain)[0], 512);
  EXPECT_EQ(text.ids.front(), id("<bos>"));
  EXPECT_EQ(text.ids[text.answer_start], id("a"));
  EXPECT_EQ(text.ids.back(), id("<eos>"));
  EXPECT_EQ(text.ids.size(), text.answer_start + 2);
  // An answer that brings the end token is not closed again, as in open-unlearning.
  const Record closed = records_of(R"({"question":"q","answer":"a<eos>"})", plain)[0];
  EXPECT_EQ(encode_record(&tokenizer, closed, 512).ids, text.ids);
  // The end token is the first to go where the text is too long.
  const EncodedText cut =
      encode_record(&tokenizer, records_of(kQuestionAnswer, plain)[0], text.ids.size() - 1);
  EXPECT_TRUE(cut.cut);
  EXPECT_EQ(cut.ids.back(), id("a"));
}

TEST(RenderedRecords, NeedTheEndToken) {
  const Tokenizer tokenizer = load(small_tokenizer({}));
  const Record record = records_of(kQuestionAnswer, with_template("qwen2.5"))[0];
  expect_contains(error_of([&] { encode_record(&tokenizer, record, 512); }),
                  "data.jsonl:1: the tokenizer has no token '<|im_end|>'");
}

TEST(PublishedFiles, OfTofu) {
  const auto records = records_of(
      R"({"question": "Who is Q?", "answer": "A writer.", "paraphrased_answer": "Q writes.", )"
      R"("perturbed_answer": ["A baker.", "A king."], "paraphrased_question": "Who's Q?"})"
      "\n",
      {}, "forget10_perturbed.json");
  EXPECT_EQ(records[0].text, "Question: Who is Q?\nAnswer: A writer.");
  const auto rendered = records_of(
      R"({"question": "Who is Q?", "answer": "A writer.", "perturbed_answer": ["A baker."]})",
      with_template("llama2-chat"));
  EXPECT_EQ(rendered[0].text, "[INST] Who is Q? [/INST]A writer.");
}

TEST(PublishedFiles, OfMuse) {
  EXPECT_EQ(records_of("[\"First article.\\n\\nMore.\", \"Second.\"]", {}, "retain1.json")[0].text,
            "First article.\n\nMore.");
  EXPECT_EQ(
      records_of("[{\"text\": \"First.\"}, {\"text\": \"Second.\"}]", {}, "forget.json").size(),
      2u);
  EXPECT_EQ(records_of("{\"text\": \"First.\"}\n{\"text\": \"Second.\"}\n")[1].text, "Second.");
  const auto joined = records_of("First.\n\nSecond,\nstill second.", {}, "forget.txt");
  ASSERT_EQ(joined.size(), 2u);
  EXPECT_EQ(joined[1].text, "Second,\nstill second.");
  const Record memorized = records_of(R"([{"id": 0, "prompt": "Once upon", "gt": "a time."}])")[0];
  EXPECT_EQ(memorized.text, "Once upon a time.");
  EXPECT_EQ(memorized.prompt, "Once upon");
  EXPECT_TRUE(memorized.has_answer);
  EXPECT_EQ(records_of(R"([{"question": "q", "answer": "a"}])")[0].text, "Question: q\nAnswer: a");
}

TEST(PublishedFiles, OfWmdp) {
  const auto records = records_of(
      "{\"title\": \"T\", \"abstract\": \"A\", \"text\": \"Body\\nof it\", \"doi\": \"10.1/2\"}\n"
      "{\"text\": \"# Notes\\n\\ncode\"}\n",
      {}, "bio-forget-corpus.jsonl");
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].text, "Body\nof it");
  // Wikitext as its makers publish it: a line of one space between lines of text.
  const auto wiki =
      records_of(" \n = Title = \n \n First paragraph . \n \n = = Part = = \n", {}, "x.raw");
  ASSERT_EQ(wiki.size(), 3u);
  EXPECT_EQ(wiki[1].text, " First paragraph . ");
}

TEST(PublishedFiles, AsParquetOrArrowNameTheRemedy) {
  const auto refuse = [](std::string content, const std::string& found) {
    content.resize(64);
    const std::string message = error_of([&] { records_of(content, {}, "train.parquet"); });
    expect_contains(message, found);
    expect_contains(message, "write it as JSONL");
  };
  refuse("PAR1", ": a Parquet file");
  refuse("ARROW1", ": an Arrow file");
  refuse("\xFF\xFF\xFF\xFF\x10", ": an Arrow stream");
}

}  // namespace
}  // namespace sagesan
