// Exit code 2, and what needs no input at all.
#include <gtest/gtest.h>

#include <string>

#include "cli/cli_fixture.h"

namespace sagesan {
namespace {

using testing::Arguments;
using testing::joined;
using testing::RunResult;

using Usage = testing::CliTest;

TEST_F(Usage, MisspeltNamesAreToldWithTheRightOnes) {
  refuse({"sanitze"}, 2, {"unknown subcommand 'sanitze'; did you mean sanitize? (see --help)"});
  refuse({"sanitize", "--bse", "x"}, 2,
         {"unknown option '--bse' of sanitize; did you mean --base?"});
  refuse(sanitize({"--strenth=3"}), 2,
         {"unknown option '--strenth' of", "did you mean --strength?"});
  refuse(sanitize({"-verbose"}), 2, {"unknown option '-verbose'", "did you mean --verbose?"});
  refuse(sanitize({"--frobnicate"}), 2, {"unknown option '--frobnicate' of sanitize (see --help)"});
  refuse(sanitize({"word"}), 2, {"word"});
}

TEST_F(Usage, HelpAndVersionAreNoErrors) {
  for (const Arguments& arguments : {Arguments{"--help"}, {"sanitize", "--help"}}) {
    const RunResult run = testing::run_program(arguments);
    EXPECT_EQ(run.code, 0);
    EXPECT_NE(run.out.find("Usage: "), std::string::npos) << run.out;
    EXPECT_EQ(run.err, "");
  }
  const RunResult version = testing::run_program({"--version"});
  EXPECT_EQ(version.code, 0);
  EXPECT_EQ(version.out, SAGESAN_VERSION "\n");
}

TEST_F(Usage, Subcommand) {
  refuse({}, 2, {"A subcommand is required", "--help"});
  refuse({"sanitise"}, 2, {"sanitise", "--help"});
}

TEST_F(Usage, Options) {
  refuse(sanitize({"--stregth", "1"}), 2, {"--stregth", "--help"});
  refuse(sanitize({"extra"}), 2, {"extra"});
  refuse({"sanitize", "--unlearned", "u", "--retain", "r", "--out", "o"}, 2,
         {"--base is required"});
  refuse({"sanitize", "--base", "b", "--unlearned", "u", "--retain", "r"}, 2,
         {"--out is required"});
  refuse({"inspect", "--base", "b"}, 2, {"--unlearned is required"});
  refuse(sanitize({"--strength"}), 2, {"--strength"});
  refuse(sanitize({"--strength", "1", "--strength", "2"}), 2, {"--strength"});
}

TEST_F(Usage, StrengthThatIsNoNumber) {
  for (const char* text : {"nan", "inf", "1e999", "", "1x", "0x10", "1,5"}) {
    refuse(sanitize({"--strength", text}), 2,
           {std::string("--strength: '") + text + "' is no number"});
  }
}

TEST_F(Usage, NumbersOutOfRange) {
  refuse(sanitize({"--strength", "-1"}), 2, {"--strength -1: expected 0 to"});
  refuse(sanitize({"--energy", "0"}), 2, {"--energy 0: expected a number above 0, at most 1"});
  refuse(sanitize({"--energy", "1.5"}), 2, {"--energy 1.5: expected 0 to 1"});
  refuse(sanitize({"--max-length", "0"}), 2, {"--max-length 0: expected 1 to"});
  refuse(sanitize({"--max-tokens", "-5"}), 2, {"--max-tokens -5: expected 0 to"});
}

TEST_F(Usage, WholeNumbers) {
  refuse(sanitize({"--max-length", "1.5"}), 2, {"--max-length: '1.5' is no whole number"});
  refuse(sanitize({"--max-length", "99999999999999999999"}), 2, {"--max-length"});
}

TEST_F(Usage, LeadingZerosAreDecimal) {
  make_pair();  // five texts of 20 tokens
  const RunResult run = testing::run_program(sanitize({"--dry-run", "--max-length", "010"}));
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_NE(run.out.find("over 50 retain tokens"), std::string::npos) << run.out;
  EXPECT_EQ(run.err,
            "sagesan: warning: 5 retain texts were cut short (--max-length, --max-tokens)\n");
}

TEST_F(Usage, TextsGivenTwiceAreTold) {
  make_pair();
  testing::write_file(root_ / "copy.jsonl", testing::read_file(retain()));
  const RunResult run =
      testing::run_program(sanitize({"--dry-run", "--retain", root_ / "copy.jsonl"}));
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.err,
            "sagesan: warning: copy.jsonl holds what another of the retain files holds, "
            "retain.jsonl: these texts count twice\n");
}

TEST_F(Usage, Words) {
  refuse(sanitize({"--other", "shrnk"}), 2,
         {"--other 'shrnk': expected one of shrink, keep, base"});
  make_pair();
  refuse({"evaluate", "--model", base(), "--data", "a=" + retain().string(), "--device", "gpu"}, 2,
         {"--device 'gpu': expected auto, cpu, cuda or cuda:N"});
  const Arguments scored = {"evaluate", "--model", base(), "--data", "a=x"};
  refuse(joined(scored, {"--model", base()}), 2, {"--model: the name 'base' is given twice"});
  refuse(joined(scored, {"--model", "other=" + base().string(), "--forget", "b"}), 2,
         {"--forget 'b': no --data has that name"});
  refuse(joined(scored, {"--holdout", "b"}), 2, {"--holdout 'b': no --data has that name"});
  refuse(joined(scored, {"--model", "=x"}), 2, {"--model '=x': expected PATH or NAME=PATH"});
  refuse(joined(scored, {"--min-k", "1.5"}), 2, {"--min-k 1.5: expected"});
  refuse({"evaluate", "--model", base(), "--data", "nofile"}, 2,
         {"--data 'nofile': expected NAME=FILE"});
  refuse({"evaluate", "--model", base(), "--data", "a=x", "--data", "a=y"}, 2,
         {"the name 'a' is given twice"});
}

TEST_F(Usage, EmptyPaths) {
  make_pair();
  refuse({"sanitize", "--base", base(), "--unlearned", unlearned(), "--retain", retain(), "--out",
          "", "--device", "cpu"},
         2, {"--out"});
}

}  // namespace
}  // namespace sagesan
