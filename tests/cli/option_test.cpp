// Options that no other file here exercises: what each of them does to the result.
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
using testing::RunResult;
using testing::write_file;

/// A pair with a tokenizer of one token a letter, and five texts of eight, three and two letters.
class Options : public testing::CliTest {
 protected:
  Options() {
    make_pair();
    const std::string tokenizer = make_tokenizer(letters("abcdefgh")).dump();
    write_file(base() / "tokenizer.json", tokenizer);
    write_file(unlearned() / "tokenizer.json", tokenizer);
    std::string texts;
    for (int i = 0; i < 5; ++i)
      texts += R"({"text": "abcdefgh", "first": "abc", "second": "de"})" + std::string("\n");
    write_file(retain(), texts);
  }
  Arguments evaluate(const Arguments& more) const {
    return joined({"evaluate", "--model", base(), "--data", "kept=" + retain().string(), "--device",
                   "cpu", "--threads", "1"},
                  more);
  }
  /// Runs and expects `fragment` in what is printed.
  static void expect_printed(const Arguments& arguments, const std::string& fragment) {
    const RunResult run = testing::run_program(arguments);
    EXPECT_EQ(run.code, 0) << run.err;
    EXPECT_NE(run.out.find(fragment), std::string::npos) << run.out;
  }
};

TEST_F(Options, FieldsAndLimitsOfTheRetainTexts) {
  const auto expect_tokens = [this](const Arguments& more, const std::string& tokens) {
    expect_printed(sanitize(joined({"--dry-run"}, more)), "over " + tokens + " retain tokens");
    expect_printed(joined({"collect", "--base", base(), "--retain", retain(), "--out",
                           root_ / "m.safetensors", "--overwrite", "--device", "cpu"},
                          more),
                   "over " + tokens + " tokens\nwritten to ");
  };
  expect_tokens({}, "40");
  expect_tokens({"--retain-fields", "first"}, "15");
  expect_tokens({"--retain-fields", " first , second "}, "35");
  expect_tokens({"--max-length", "7"}, "35");
  expect_tokens({"--max-tokens", "17"}, "17");
  refuse(sanitize({"--retain-fields", "third"}), 3, {retain().string(), "no field 'third'"});
  refuse(sanitize({"--retain-fields", "first,,second"}), 2, {"an empty name between commas"});
  refuse(sanitize({"--retain-fields", "first, ,second"}), 2, {"an empty name between commas"});
}

TEST_F(Options, FieldsAndLengthOfWhatIsEvaluated) {
  const auto tokens = [this](const Arguments& more) {
    const RunResult run = testing::run_program(evaluate(joined({"--json", "-"}, more)));
    EXPECT_EQ(run.code, 0) << run.err;
    return json::parse(run.out)["data"]["kept"]["tokens"].get<int>();
  };
  EXPECT_EQ(tokens({"--retain-fields", "first"}), 5 * 2);  // the first has no prediction
  EXPECT_EQ(tokens({"--max-length", "6"}), 5 * 5);
}

TEST_F(Options, FieldsAndLengthOfWhatIsTokenized) {
  const Arguments tokenize = {"tokenize", "--model", base(), "--data", retain()};
  const auto first_line = [&](const Arguments& more) {
    const std::string printed = succeed(joined(tokenize, more));
    return json::parse(printed.substr(0, printed.find('\n')))["ids"];
  };
  EXPECT_EQ(first_line({"--retain-fields", "second"}), (json{3, 4}));
  EXPECT_EQ(first_line({"--max-length", "3", "-q"}), (json{0, 1, 2}));
  refuse(joined(tokenize, {"--max-length", "0"}), 2, {"--max-length 0: expected 1 to"});
}

TEST_F(Options, Tables) {
  expect_printed(evaluate({}), "kept                        5        35 ");
  EXPECT_EQ(succeed(evaluate({"--quiet"})), "");
  expect_printed({"inspect", "--base", base(), "--unlearned", unlearned(), "-q"},
                 "21 of 21 tensors changed (LlamaForCausalLM)\n");
}

TEST_F(Options, VerboseSanitizePrintsEveryTensor) {
  const std::string printed = succeed(sanitize({"--verbose"}));
  for (const auto& [name, shape, values] : testing::tiny_layout({})) {
    EXPECT_NE(printed.find(name + " "), std::string::npos) << name << " is not in: " << printed;
  }
}

TEST_F(Options, Threads) {
  refuse(evaluate({"--threads", "2"}), 2, {"--threads"});  // given twice
  for (const char* subcommand : {"inspect", "families", "tokenize", "merge"})
    refuse({subcommand, "--threads", "2"}, 2, {});
  refuse({"demo", "--threads", "-1"}, 2, {"--threads -1: expected 0 to 1024"});
}

/// What the machine does not have, and what no machine has.
TEST_F(Options, Device) {
  const std::vector<Arguments> runs = {
      {"sanitize", "--base", base(), "--unlearned", unlearned(), "--retain", retain(), "--out",
       out()},
      {"collect", "--base", base(), "--retain", retain(), "--out", root_ / "m.safetensors"},
      {"evaluate", "--model", base(), "--data", "a=" + retain().string()},
      {"demo", "--out", out()}};
  for (const Arguments& run : runs) {
    refuse(joined(run, {"--device", "cuda:999"}), 2, {"--device 'cuda:999': expected auto, cpu"});
    if (std::filesystem::exists("/proc/driver/nvidia/gpus")) continue;
    refuse(joined(run, {"--device", "cuda"}), 2, {"--device cuda: ", "has no CUDA"});
  }
  refuse(joined(runs[0], {"--device", "tpu"}), 2,
         {"--device 'tpu': expected auto, cpu, cuda or cuda:N"});
  refuse(joined(runs[0], {"--device", ""}), 2, {"--device ''"});
}

TEST_F(Options, EmptyNames) {
  refuse(sanitize({"--report", ""}), 2, {"--report: the name is empty"});
  refuse(evaluate({"--json", ""}), 2, {"--json: the name is empty"});
  refuse({"demo", "--out", ""}, 2, {"--out: the name is empty"});
  refuse({"demo", "--json", ""}, 2, {"--json: the name is empty"});
}

}  // namespace
}  // namespace sagesan
