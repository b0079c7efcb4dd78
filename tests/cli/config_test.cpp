// --config FILE.toml, through the real binary.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "cli/config_fixture.h"
#include "report/report_testing.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::Arguments;
using testing::RunResult;
using testing::write_file;

using Config = testing::ConfigTest;

TEST_F(Config, GivesEveryOption) {
  write_file(root_ / "second.jsonl", testing::tiny_records(2, 10, 64));
  std::string text = section("strength = 2.5e0 # comment\nenergy = 0.5\nother = \"keep\"\n");
  text.replace(text.find("retain.jsonl'") + 13, 0, ", '" + (root_ / "second.jsonl").string() + "'");
  EXPECT_EQ(succeed(with(text + "quiet = true\nmax-length = 15\n[evaluate]\nmodel = 'm'\n",
                         {"sanitize"})),
            "");
  EXPECT_EQ(options()["strength"], 2.5);
  EXPECT_EQ(options()["energy"], 0.5);
  EXPECT_EQ(options()["other"], "keep");
  EXPECT_EQ(options()["max_length"], 15);
  const auto report = nlohmann::json::parse(testing::read_file(out() / "sagesan_report.json"));
  EXPECT_EQ(report["tokens"], 5 * 15 + 2 * 10);
}

TEST_F(Config, WhatIsTypedWins) {
  write_file(root_ / "second.jsonl", testing::tiny_records(2, 10, 64));
  succeed(with(section("strength = 2\n"),
               {"sanitize", "--strength", "3", "--retain", root_ / "second.jsonl"}));
  EXPECT_EQ(options()["strength"], 3);
  const auto report = nlohmann::json::parse(testing::read_file(out() / "sagesan_report.json"));
  EXPECT_EQ(report["tokens"], 20);
}

TEST_F(Config, GoesBeforeTheSubcommand) {
  write_file(file(), section());
  const std::string message = "--config goes before the subcommand: sagesan --config FILE sanitize";
  refuse({"sanitize", "--config", file()}, 2, {message});
  refuse(sanitize({"--config", file()}), 2, {message});
  refuse(sanitize({"--config=" + file()}), 2, {message});
}

TEST_F(Config, AFlagThatIsFalse) {
  const std::string printed = succeed(with(section("dry-run = false\nverbose = false\n")));
  EXPECT_TRUE(fs::exists(out()));
  EXPECT_EQ(printed.find("rank"), std::string::npos) << printed;
}

TEST_F(Config, TheExampleIsValid) {
  const Arguments arguments = {"--config", SAGESAN_SOURCE_DIR "/configs/sanitize.toml",
                               "sanitize", "--out",
                               out(),      "--device",
                               "cpu",      "--dry-run"};
  const RunResult run = testing::run_program(arguments, [this] {
    if (::chdir(root_.path().c_str()) != 0) ::_exit(126);
  });
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_NE(run.out.find("nothing was written"), std::string::npos) << run.out;
}

TEST_F(Config, UnknownKeysAndSections) {
  refuse(with("[sanitize]\n\nstregth = 1\n"), 2,
         {file() + ":3: unknown key 'stregth' in [sanitize]; did you mean strength?"});
  refuse(with("[evaluate]\nstrength = 1\n"), 2,
         {file() + ":2: unknown key 'strength' in [evaluate]"});
  refuse(with("# one\n[sanitise]\n"), 2, {file() + ":2: unknown section [sanitise]"});
  refuse(with("strength = 1\n"), 2, {file() + ":1: unknown key 'strength' outside the sections"});
  refuse(with("sanitize = 1\n"), 2, {file() + ":1: expected a section [sanitize]"});
  refuse(with("[sanitize]\nhelp = true\n"), 2, {file() + ":2: unknown key 'help' in [sanitize]"});
  refuse(with("[sanitize]\nstrength.x = 1\n"), 2, {file() + ":2: strength: expected a number"});
}

TEST_F(Config, WrongTypes) {
  const auto line = [&](const std::string& text, const std::string& message) {
    refuse(with("[sanitize]\n" + text + "\n"), 2, {file() + ":2: " + message});
  };
  line("strength = '1'", "strength: expected a number");
  line("strength = true", "strength: expected a number");
  line("strength = [1]", "strength: expected one value, found a list");
  line("base = 1", "base: expected a string");
  line("base = 1979-05-27", "base: expected a string");
  line("retain = ['a', 1]", "retain: expected a string");
  line("dry-run = 1", "dry-run: expected true or false");
  line("dry-run = 'true'", "dry-run: expected true or false");
}

TEST_F(Config, NumbersAreCheckedAsWritten) {
  refuse(with(section("max-length = 1.0")), 2,
         {file() + ":8: --max-length: '1.0' is no whole number"});
  // What the subcommand refuses has its place, too; what was typed has none.
  refuse(with(section("energy = 7")), 2, {file() + ":8: --energy 7: expected 0 to 1"});
  refuse(with(section("energy = 7"), {"sanitize", "--energy", "8"}), 2,
         {"error: --energy 8: expected 0 to 1"});
  for (const std::string word : {"nan", "-inf", "0x10", "0o17", "0b1"}) {
    refuse(with(section("strength = " + word + "#")), 2,
           {file() + ":8: strength: expected a decimal number, found " + word + "\n"});
  }
  // After characters of several bytes on the same line.
  refuse(with("sanitize = { other = 'é', energy = 1.5, base = 'b', unlearned = 'u', retain = 'r', "
              "out = 'o' }\n"),
         2, {file() + ":1: --energy 1.5: expected 0 to 1"});
}

TEST_F(Config, NumbersAsTomlWritesThem) {
  succeed(with(section("strength = +1_0.2_5e+0_1\nmax-length = +1_6\n"), {"sanitize", "-q"}));
  EXPECT_EQ(options()["strength"], 102.5);
  EXPECT_EQ(options()["max_length"], 16);
}

TEST_F(Config, BrokenToml) {
  refuse(with("[sanitize]\nstrength = = 1\n"), 3, {file() + ":2: "});
  refuse(with("[sanitize]\nstrength = 1\nstrength = 2\n"), 3, {file() + ":3: ", "strength"});
  refuse(with("[sanitize]\nbase = '\xff'\n"), 3, {file() + ":2: is not UTF-8"});
}

TEST_F(Config, CharactersOtherThanAsciis) {
  const std::string refused = "characters other than ASCII's stand in strings and comments alone";
  refuse(with("[sanitize]\nstrength = \u04071\n"), 3, {file() + ":2: " + refused});
  refuse(with("[sanitize]\nbase = \"\\\"\" \u00e9\n"), 3, {file() + ":2: " + refused});
  refuse(with("[sanitize]\nbase = 'a\nb\u00e9'\n"), 3, {file() + ":3: " + refused});
  refuse(with("[sanitize]\nbase = \"\"\"a\"\"\"\"\" \u00e9\n"), 3, {file() + ":2: " + refused});
  refuse(with("[sanitize]\nenergy = 0.9\"\u04071\"\n"), 3,
         {file() + ":2: a quote stands where no string can begin"});
  // In every kind of string, in comments, and as the byte order mark of an editor.
  const std::string fine =
      "\xEF\xBB\xBF# \u00e9 '\n[inspect]\nbase = \"\u00e9\\\"#\u00e9\"\n"
      "[merge]\nout = '''\u00e9'\n\u00e9'''\n[collect]\n"
      "out = \"\"\"\u00e9\\\"\"\"\u00e9\"\"\"\nbase = 'e\u00e9\\'\n";
  succeed(with(fine + section(), {"sanitize", "-q", "--dry-run"}));
}

TEST_F(Config, IsReplacedByNoOutput) {
  const std::string message = "must lie outside " + file();
  refuse(with(section(), {"sanitize", "--report", file()}), 3, {message});
  refuse(with(section("html = '" + file() + "'\n")), 3, {message});
  const std::filesystem::path report = root_ / "r.json";
  testing::write_file(report, testing::sample_report().to_json().dump());
  refuse(with("", {"report", report, "--html", file()}), 3, {message});
  refuse(with("", {"check", report, "--max-bias", "1", "--junit", file()}), 3, {message});
  refuse(with("", {"evaluate", "--model", base(), "--data", "a=" + retain().string(), "--json",
                   file()}),
         3, {message});
  refuse(
      with("", {"collect", "--base", base(), "--retain", retain(), "--out", file(), "--overwrite"}),
      3, {message});
  const json job = {{"base", "base"},
                    {"unlearned", "unlearned"},
                    {"out", "out"},
                    {"retain", "retain.jsonl"},
                    {"report", "options.toml"}};
  testing::write_file(root_ / "batch.json", json{{"jobs", {job}}}.dump());
  refuse(with("", {"batch", root_ / "batch.json"}), 3, {"must lie outside", file()});
  refuse(with("", {"batch", root_ / "batch.json", "--summary", file()}), 3, {message});
}

TEST_F(Config, IsRemovedWithNoOutput) {
  std::filesystem::create_directory(out());
  testing::write_file(out() / "sagesan_report.json", "{}");
  const std::filesystem::path inside = out() / "options.toml";
  testing::write_file(inside, section());
  refuse({"--config", inside, "sanitize", "--overwrite"}, 3,
         {"must lie outside " + inside.string()});
}

TEST_F(Config, TheFileItself) {
  refuse({"--config", file(), "sanitize"}, 3, {file() + ": no such file"});
  refuse({"--config", "", "sanitize"}, 2, {"--config: the name is empty"});
  refuse({"--config", root_.path(), "sanitize"}, 3, {root_.path().string()});
  refuse(with(section(), {"sanitise"}), 2, {"unknown subcommand 'sanitise'"});
  refuse(with(section(), {}), 2, {"A subcommand is required"});
  refuse(with("[sanitize]\nstrength = 1\n"), 2, {"is required"});
  refuse(with("[sanitize]\nretain = []\nbase='b'\nunlearned='u'\nout='o'\n"), 2,
         {"--retain is required"});
}

}  // namespace
}  // namespace sagesan
