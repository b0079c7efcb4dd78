// What a run may touch: no network, no other program, no file but those given and the system's
// libraries.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <regex>
#include <string>
#include <utility>
#include <vector>

#include "cli/cli_fixture.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;
using testing::Arguments;
using testing::RunResult;

class Isolation : public testing::CliTest {
 protected:
  Isolation() { make_pair(); }
  static constexpr const char* kStrace = "/usr/bin/strace";
};

/// A command by its name, with the files and folders that it writes.
class IsolatedCommand : public Isolation, public ::testing::WithParamInterface<std::string> {
 protected:
  std::pair<Arguments, std::vector<fs::path>> command() {
    const std::string& name = GetParam();
    const fs::path page = root_ / "page.html", result = root_ / "o.json";
    const Arguments machine = {"--device", "cpu", "--threads", "1", "-q"};
    if (name == "sanitize") return {sanitize({"-q", "--html", page}), {out(), page}};
    if (name == "collect") {
      const fs::path moments = root_ / "m.safetensors";
      return {
          joined({"collect", "--base", base(), "--retain", retain(), "--out", moments}, machine),
          {moments}};
    }
    if (name == "evaluate")
      return {joined({"evaluate", "--model", base(), "--data", "a=" + retain().string(), "--json",
                      result},
                     machine),
              {result}};
    if (name == "inspect")
      return {{"inspect", "--base", base(), "--unlearned", unlearned(), "--json"}, {}};
    testing::write_file(root_ / "judged.jsonl", testing::tiny_records(3, 20, 64, 5));
    if (name == "sweep")
      return {joined({"sweep",
                      "--base",
                      base(),
                      "--unlearned",
                      unlearned(),
                      "--retain",
                      retain(),
                      "--forget",
                      retain(),
                      "--retain-eval",
                      root_ / "judged.jsonl",
                      "--methods",
                      "sage",
                      "--strengths",
                      "1",
                      "--keep-forgetting",
                      "0.1",
                      "--json",
                      result,
                      "--html",
                      page,
                      "--out",
                      out()},
                     machine),
              {out(), result, page}};
    EXPECT_EQ(name, "batch");
    testing::write_file(
        root_ / "batch.json",
        R"({"jobs":[{"base":"base","unlearned":"unlearned","retain":"retain.jsonl","out":"out"}]})");
    return {joined({"batch", root_ / "batch.json", "--summary", result}, machine),
            {out(), result, root_ / ".batch.json.moments"}};
  }
};

TEST_P(IsolatedCommand, NoNetworkNoOtherProgramAndNoOtherFile) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP()
      << "AddressSanitizer opens files of its own, and cannot search for leaks under strace";
#endif
  if (testing::run_program({"-qq", "/bin/true"}, nullptr, kStrace).code != 0)
    GTEST_SKIP() << "no strace here, or it may not trace";
  edit_config(base(), [](auto& c) {
    c["auto_map"] = {{"AutoModelForCausalLM", "modeling.Model"}};
  });
  testing::write_file(base() / "modeling.py", "raise SystemExit");
  const auto [arguments, outputs] = command();
  const auto inputs = testing::snapshot(base());
  const fs::path log = root_.path().string() + ".strace";
  const RunResult run =
      testing::run_program(joined({"-f", "-qq", "-o", log, "-e", "trace=%network,%process,%file",
                                   "-e", "signal=none", SAGESAN_BINARY},
                                  arguments),
                           nullptr, kStrace);
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_TRUE(testing::snapshot(base()) == inputs);
  std::istringstream lines(testing::read_file(log));
  fs::remove(log);
  // An output, or what it is called before it is one.
  const auto is_output = [&, &outputs = outputs](const std::string& path) {
    return std::any_of(outputs.begin(), outputs.end(), [&](const fs::path& output) {
      const fs::path partial = output.parent_path() / ("." + output.filename().string());
      return path.starts_with(output.string()) || path.starts_with(partial.string());
    });
  };
  const std::regex call(R"re(^\d+ +(\w+)\((?:[^"]*)"([^"]*)"(.*))re");
  const std::regex changing(
      "(rename|unlink|link|symlink|mkdir|rmdir|truncate|chmod|chown|mknod|creat|utime).*|"
      "fchmodat|fchownat|utimensat");
  const std::regex writing("O_WRONLY|O_RDWR|O_CREAT|O_TRUNC");
  int programs = 0, files = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.find("execve(") != std::string::npos) ++programs;
    // A socket of this machine is how the C library asks for a user's name, on behalf of some
    // library.
    if (line.find("socket(") != std::string::npos || line.find("connect(") != std::string::npos) {
      EXPECT_NE(line.find("AF_UNIX"), std::string::npos) << line;
    }
    std::smatch found;
    if (!std::regex_search(line, found, call)) continue;
    const std::string name = found[1], path = found[2], rest = found[3];
    const bool opens = name == "open" || name == "openat" || name == "openat2";
    if (std::regex_match(name, changing) || (opens && std::regex_search(rest, writing))) {
      EXPECT_TRUE(is_output(path) || path == "/dev/null") << "changed: " << line;
    }
    if (!opens) continue;
    // NVIDIA's cuSPARSELt (libcusparseLt.so.0 of PyPI) looks for it in the current directory.
    if (path.ends_with("libcuda.so.1")) continue;
    ++files;
    EXPECT_EQ(path.find("modeling.py"), std::string::npos) << line;
    const bool is_ours = path.starts_with(root_.path().string());
    const bool is_system = std::regex_search(path, std::regex("^/(lib|usr|etc|proc|sys|dev)/")) ||
                           path.starts_with(fs::path(SAGESAN_BINARY).parent_path().string()) ||
                           path.find("/torch/lib") != std::string::npos ||
                           path.find("site-packages") != std::string::npos;
    EXPECT_TRUE(is_ours || is_system) << line;
  }
  EXPECT_EQ(programs, 1);
  EXPECT_GT(files, 20);
}

INSTANTIATE_TEST_SUITE_P(Commands, IsolatedCommand,
                         ::testing::Values("sanitize", "collect", "evaluate", "inspect", "sweep",
                                           "batch"),
                         [](const auto& command) { return command.param; });

TEST_F(Isolation, NothingOfTheUserIsInTheOutput) {
  const RunResult run = testing::run_program(
      sanitize({"--html", root_ / "page.html", "--report", root_ / "report.json"}), [] {
        ::setenv("HOME", "/home/canary", 1);
        ::setenv("USER", "canary", 1);
        ::setenv("HF_TOKEN", "canary", 1);
      });
  ASSERT_EQ(run.code, 0) << run.err;
  std::vector<fs::path> written = {root_ / "page.html", root_ / "report.json"};
  for (const auto& entry : fs::directory_iterator(out())) written.push_back(entry.path());
  for (const fs::path& file : written) {
    const std::string text = testing::read_file(file);
    EXPECT_EQ(text.find("canary"), std::string::npos) << file;
    EXPECT_EQ(text.find(root_.path().string()), std::string::npos)
        << file << " names a directory of this machine";
  }
}

TEST_F(Isolation, OutputsHaveTheModesThatTheUserWants) {
  const RunResult run =
      testing::run_program(sanitize({"-q", "--html", root_ / "page.html"}), [] { ::umask(0077); });
  ASSERT_EQ(run.code, 0) << run.err;
  const auto mode = [](const fs::path& path) {
    return static_cast<unsigned>(fs::status(path).permissions());
  };
  EXPECT_EQ(mode(out()), 0700U);
  EXPECT_EQ(mode(out() / "model.safetensors"), 0600U);
  EXPECT_EQ(mode(root_ / "page.html"), 0600U);
}

TEST_F(Isolation, LinksOutOfACheckpointAreRefused) {
  testing::write_file(root_ / "secret", "mine");
  for (const fs::path& directory : {base(), unlearned()}) {
    fs::create_symlink(root_ / "secret", directory / "tokenizer.json");
    refuse(
        sanitize(), 3,
        {(directory / "tokenizer.json").string() + ": is a link that leads out of its directory"});
    refuse({"tokenize", "--model", directory, "--data", retain()}, 3,
           {"is a link that leads out of its directory"});
    fs::remove(directory / "tokenizer.json");
  }
}

}  // namespace
}  // namespace sagesan
