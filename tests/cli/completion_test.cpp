// Completion scripts and the manual page, made from the options' definitions.
#include <gtest/gtest.h>

#include <regex>
#include <set>
#include <string>

#include "cli/cli_fixture.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;
using testing::Arguments;
using testing::RunResult;
using testing::write_file;
using Completions = std::set<std::string>;

class Completion : public testing::CliTest {
 protected:
  void SetUp() override {
    fs::create_directories(root_ / "files" / "model");
    write_file(root_ / "files" / "models.jsonl", "");
    write_file(root_ / "files" / "more words.txt", "");
  }

  /// What bash offers for the last of `words`, with `files` as the working directory.
  Completions bash(const std::vector<std::string>& words) {
    write_file(root_ / "sagesan.bash", succeed({"completion", "bash"}));
    const std::string script =
        "source \"$1\"; shift; COMP_WORDS=(sagesan \"$@\"); COMP_CWORD=$#; _sagesan; "
        "for word in \"${COMPREPLY[@]}\"; do printf '%s\\n' \"$word\"; done";
    const RunResult run = testing::run_program(
        testing::joined({"--noprofile", "--norc", "-c", script, "test", root_ / "sagesan.bash"},
                        words),
        [this] {
          if (::chdir((root_ / "files").c_str()) != 0) ::_exit(126);
        },
        "/bin/bash");
    EXPECT_EQ(run.code, 0) << run.err;
    EXPECT_EQ(run.err, "");
    return lines(run.out);
  }

  static Completions lines(const std::string& text) {
    std::istringstream stream(text);
    Completions result;
    for (std::string line; std::getline(stream, line);) result.insert(line);
    return result;
  }

  /// The long options that a subcommand's --help lists.
  static Completions long_options(const std::string& subcommand) {
    const std::string help = succeed({subcommand, "--help"});
    const std::regex pattern("^  (?:-[a-z],)?(--[a-z-]+)");
    Completions result;
    for (const std::string& line : lines(help)) {
      std::smatch match;
      if (std::regex_search(line, match, pattern)) result.insert(match[1]);
    }
    EXPECT_TRUE(result.contains("--help")) << help;
    return result;
  }

  /// The subcommands that --help lists.
  static Completions subcommands() {
    const std::string help = succeed({"--help"});
    Completions result;
    for (const std::string& line : lines(help.substr(help.find("Subcommands:")))) {
      if (line.starts_with("  ") && line[2] != ' ')
        result.insert(line.substr(2, line.find(' ', 2) - 2));
    }
    EXPECT_TRUE(result.contains("sanitize")) << help;
    return result;
  }

  /// Runs a checker of the shell's or page's syntax; skips where it is not installed.
  void check_with(const std::vector<fs::path>& places, const Arguments& arguments) {
    for (const fs::path& place : places) {
      if (!fs::exists(place)) continue;
      const RunResult run = testing::run_program(arguments, nullptr, place);
      EXPECT_EQ(run.code, 0) << run.err;
      EXPECT_EQ(run.err, "");
      return;
    }
    GTEST_SKIP() << places.front() << " is not installed";
  }
};

TEST_F(Completion, BashOffersSubcommands) {
  EXPECT_EQ(bash({""}), subcommands());
  EXPECT_EQ(bash({"san"}), Completions{"sanitize"});
  EXPECT_EQ(bash({"--config", "x.toml", "tok"}), Completions{"tokenize"});
  EXPECT_EQ(bash({"--config", "=", "x.toml", "tok"}), Completions{"tokenize"});
  EXPECT_EQ(bash({"--c"}), Completions{"--config"});
}

TEST_F(Completion, BashOffersEveryOption) {
  for (const std::string& subcommand : subcommands()) {
    Completions offered = bash({subcommand, "--"});
    EXPECT_EQ(offered, long_options(subcommand)) << subcommand;
  }
  EXPECT_EQ(bash({"sanitize", "--dry-run", "--ou"}), (Completions{"--out", "--out-format"}));
}

TEST_F(Completion, BashOffersValues) {
  EXPECT_EQ(bash({"sanitize", "--other", ""}), (Completions{"shrink", "keep", "base"}));
  EXPECT_EQ(bash({"sanitize", "--other", "=", "s"}), Completions{"shrink"});
  EXPECT_EQ(bash({"sanitize", "--other", "="}), (Completions{"shrink", "keep", "base"}));
  EXPECT_EQ(bash({"sanitize", "--device", "c"}), (Completions{"cpu", "cuda"}));
  EXPECT_EQ(bash({"sanitize", "--strength", ""}), Completions{});
  EXPECT_EQ(bash({"completion", ""}), (Completions{"bash", "zsh", "fish", "man"}));
}

TEST_F(Completion, BashOffersFiles) {
  EXPECT_EQ(bash({"sanitize", "--base", "mo"}), Completions{"model"});
  EXPECT_EQ(bash({"sanitize", "--retain", "mo"}),
            (Completions{"model", "models.jsonl", "more words.txt"}));
  EXPECT_EQ(bash({"evaluate", "--data", "kee"}), Completions{});
  EXPECT_EQ(bash({"evaluate", "--data", "keep", "=", "models"}), Completions{"models.jsonl"});
  EXPECT_EQ(bash({"evaluate", "--data", "=", "keep", "=", "models"}), Completions{"models.jsonl"});
  EXPECT_EQ(bash({"--config", "more"}), Completions{"more words.txt"});
  EXPECT_EQ(bash({"merge", "--overwrite", "models"}), Completions{"models.jsonl"});
}

TEST_F(Completion, ZshAndFishNameEveryOption) {
  const std::string zsh = succeed({"completion", "zsh"});
  const std::string fish = succeed({"completion", "fish"});
  for (const std::string& subcommand : subcommands()) {
    const size_t start = zsh.find("\n    " + subcommand + ")\n");
    ASSERT_NE(start, std::string::npos) << subcommand;
    const std::string section = zsh.substr(start, zsh.find(";;", start) - start);
    for (const std::string& option : long_options(subcommand)) {
      EXPECT_TRUE(section.find(option + "[") != std::string::npos ||
                  section.find(option + "=[") != std::string::npos)
          << subcommand << " " << option;
      const std::regex line("__fish_seen_subcommand_from " + subcommand + "'( -s .)? -l " +
                            option.substr(2) + " ");
      EXPECT_TRUE(std::regex_search(fish, line)) << subcommand << " " << option;
    }
  }
}

TEST_F(Completion, ZshSyntax) {
  write_file(root_ / "_sagesan", succeed({"completion", "zsh"}));
  check_with({"/bin/zsh", "/usr/bin/zsh"}, {"-n", root_ / "_sagesan"});
}

TEST_F(Completion, FishSyntax) {
  write_file(root_ / "sagesan.fish", succeed({"completion", "fish"}));
  check_with({"/usr/bin/fish"}, {"--no-execute", root_ / "sagesan.fish"});
}

TEST_F(Completion, ManPageNamesEveryOption) {
  const std::string page = succeed({"completion", "man"});
  for (const std::string& subcommand : subcommands()) {
    const size_t start = page.find(".SS \\fBsagesan " + subcommand + "\\fR\n");
    ASSERT_NE(start, std::string::npos) << subcommand;
    const std::string section = page.substr(start, page.find("\n.S", start) - start);
    for (const std::string& option : long_options(subcommand)) {
      const std::string name = std::regex_replace(option, std::regex("-"), "\\-");
      EXPECT_NE(section.find("\\fB" + name + "\\fR"), std::string::npos)
          << subcommand << " " << option;
    }
  }
  EXPECT_NE(page.find("(default 0.95)"), std::string::npos);
  EXPECT_NE(page.find("130 interrupted"), std::string::npos);
  EXPECT_NE(page.find("sagesan_report.json"), std::string::npos);
}

TEST_F(Completion, ManPageSyntax) {
  write_file(root_ / "sagesan.1", succeed({"completion", "man"}));
  check_with({"/usr/bin/groff"}, {"-ww", "-man", "-Tutf8", "-z", root_ / "sagesan.1"});
}

TEST_F(Completion, UnknownShell) {
  refuse({"completion", "tcsh"}, 2, {"completion 'tcsh': expected bash, zsh, fish or man"});
  refuse({"completion"}, 2, {"shell is required"});
}

}  // namespace
}  // namespace sagesan
