// What `evaluate` says of its own options; its figures are compared in tests/python.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "cli/cli_fixture.h"
#include "text/text_testing.h"

namespace sagesan {
namespace {

using nlohmann::json;
using testing::Arguments;
using testing::joined;
using testing::write_file;

/// A pair with a tokenizer of one token a letter, and three sets of one question each.
class Evaluate : public testing::CliTest {
 protected:
  Evaluate() {
    make_pair();
    json tokenizer = make_tokenizer(letters("Question:A\n wrabcdfgh"));
    tokenizer["decoder"] = {{"type", "Fuse"}};
    write_file(base() / "tokenizer.json", tokenizer.dump());
    const json plain = {{"question", "a b"}, {"answer", "c d"}};
    json perturbed = plain;
    perturbed["perturbed_answer"] = {"e", "f g"};
    write_file(retain(), plain.dump());
    write_file(root_ / "perturbed.json", perturbed.dump());
  }
  Arguments evaluate(const Arguments& more) const {
    const std::string perturbed = (root_ / "perturbed.json").string();
    return joined({"evaluate", "--model", base(), "--data", "plain=" + retain().string(), "--data",
                   "a=" + perturbed, "--data", "b=" + perturbed, "--data", "c=" + perturbed,
                   "--device", "cpu", "--threads", "1"},
                  more);
  }
};

TEST_F(Evaluate, GeneratesAnswers) {
  const json result = json::parse(
      succeed(evaluate({"--generate", "--max-new-tokens", "3", "--json", "-"})))["data"]["plain"];
  const json& answer = result["rougeL_recall"]["value_by_index"]["0"];
  EXPECT_EQ(answer["input"], "Question: a b\nAnswer:");
  EXPECT_EQ(answer["ground_truth"], "c d");
  EXPECT_TRUE(answer["generation"].is_string());
  EXPECT_EQ(result["rougeL_recall"]["agg_value"], answer["rougeL_recall"]);
  const std::string table = succeed(evaluate({"--generate", "--max-new-tokens", "1"}));
  EXPECT_NE(table.find("truth  rouge-L\n"), std::string::npos) << table;
  EXPECT_EQ(succeed(evaluate({})).find("rouge-L"), std::string::npos);
}

TEST_F(Evaluate, GenerationNeedsItsOptionAndAnswers) {
  refuse(evaluate({"--max-new-tokens", "3"}), 2,
         {"--max-new-tokens: nothing is generated without"});
  refuse(evaluate({"--generate-memory", "1GB"}), 2, {"--generate-memory: nothing is generated"});
  refuse(evaluate({"--generate", "--max-new-tokens", "0"}), 2, {"--max-new-tokens 0: expected"});
  refuse(evaluate({"--generate", "--generate-memory", "much"}), 2, {"--generate-memory 'much'"});
  write_file(root_ / "text.txt", "abc\n");
  const Arguments text = {
      "evaluate", "--model", base(),      "--data", "t=" + (root_ / "text.txt").string(),
      "--device", "cpu",     "--generate"};
  refuse(text, 3, {"text.txt: no record of any data set has a question with an answer"});
  json tokenizer = json::parse(testing::read_file(base() / "tokenizer.json"));
  tokenizer["decoder"] = {{"type", "CTC"}};
  write_file(base() / "tokenizer.json", tokenizer.dump());
  refuse(evaluate({"--generate"}), 3, {"tokenizer.json: decoder: type 'CTC' is not supported"});
  succeed(evaluate({}));
}

TEST_F(Evaluate, RecordsWithoutATokenToScoreAreCounted) {
  const std::string data = (root_ / "data.jsonl").string();
  const auto record = [](size_t length) {
    return json{{"question", std::string(length, 'a')}, {"answer", "a b"}}.dump() + "\n";
  };
  const Arguments run = {"evaluate", "--model", base(),         "--data", "d=" + data,
                         "--device", "cpu",     "--max-length", "60"};
  const std::string cut =
      "sagesan: warning: 2 d texts were cut short (--max-length, --max-tokens)\n";
  write_file(data, record(1) + record(200) + record(200));
  const testing::RunResult some = testing::run_program(run);
  EXPECT_EQ(some.code, 0) << some.err;
  EXPECT_EQ(some.err, cut + "sagesan: warning: " + data +
                          ": 2 of 3 records are not scored: their answers are empty or lie behind "
                          "--max-length\n");
  write_file(data, record(200) + record(200));
  const testing::RunResult none = testing::run_program(run);
  EXPECT_EQ(none.code, 3);
  EXPECT_EQ(none.err, cut + "sagesan: error: " + data +
                          ": no record has a token to score: all answers are empty or lie behind "
                          "--max-length\n");
}

TEST_F(Evaluate, ModelUtilityNeedsAllOfItsSets) {
  const Arguments three = {"--retain", "a", "--real-authors", "b", "--world-facts", "c"};
  refuse(evaluate({"--retain", "a", "--generate"}), 2,
         {"--retain: the model utility needs --world-facts as well, and --generate"});
  refuse(evaluate({"--real-authors", "d"}), 2, {"--real-authors 'd': no --data has that name"});
  refuse(evaluate(three), 2, {"the model utility needs --generate as well"});
  refuse(evaluate({"--retain", "plain", "--real-authors", "b", "--world-facts", "c", "--generate"}),
         3, {"retain.jsonl: no record has wrong answers ('perturbed_answer')"});
  const std::string table =
      succeed(evaluate(joined(three, {"--generate", "--max-new-tokens", "1"})));
  EXPECT_NE(table.find("\nmodel utility: "), std::string::npos) << table;
}

TEST_F(Evaluate, ReferenceMustFit) {
  const std::string reference = (root_ / "reference.json").string();
  write_file(reference, "{\"data\": {}}");
  refuse(evaluate({"--reference", reference}), 2, {"--reference: say with --forget which"});
  refuse(evaluate({"--reference", reference, "--forget", "a"}), 3,
         {"reference.json: holds neither truth ratios of a forget set nor 'mia_min_k'"});
  refuse(evaluate({"--reference", root_ / "none.json", "--forget", "a"}), 3, {"none.json: "});
  write_file(reference, "{\"models\": {}}");
  refuse(evaluate({"--reference", reference, "--forget", "a"}), 3,
         {"reference.json: key 'models': evaluations of several models; expected one of the"});
  write_file(reference,
             "{\"forget_truth_ratio\": {\"value_by_index\": {\"0\": {\"score\": \"1\"}}}}");
  refuse(evaluate({"--reference", reference, "--forget", "a"}), 3,
         {"forget_truth_ratio: value_by_index: '0': key 'score': expected"});
  refuse(evaluate({"--reference", reference, "--forget", "a", "--json", reference}), 3,
         {"reference.json: must lie outside"});
  write_file(reference, "{\"forget_truth_ratio\": {\"value_by_index\": {\"0\": {\"score\": 1}}}}");
  const std::string table = succeed(evaluate({"--reference", reference, "--forget", "a"}));
  EXPECT_NE(table.find("\nforget quality: p-value 1\n"), std::string::npos) << table;
}

TEST_F(Evaluate, NumbersAreShownAsNumbers) {
  const std::string help = succeed({"evaluate", "--help"});
  EXPECT_NE(help.find("--min-k X=0.4"), std::string::npos) << help;
  EXPECT_NE(help.find("--max-new-tokens N=200"), std::string::npos) << help;
}

}  // namespace
}  // namespace sagesan
