// What a run may touch: no network, no other program, no file but those given and the system's
// libraries.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <regex>
#include <string>

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

TEST_F(Isolation, NoNetworkNoOtherProgramAndNoOtherFile) {
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
  const fs::path log = root_.path().string() + ".strace", page = root_ / "page.html";
  const RunResult run = testing::run_program(
      joined({"-f", "-qq", "-o", log, "-e", "trace=%network,%process,openat,open,creat", "-e",
              "signal=none", SAGESAN_BINARY},
             sanitize({"-q", "--html", page})),
      nullptr, kStrace);
  ASSERT_EQ(run.code, 0) << run.err;
  std::istringstream lines(testing::read_file(log));
  fs::remove(log);
  const std::regex opened(R"re(open(?:at)?\(.*?"([^"]*)", ([A-Z_|]+))re");
  int programs = 0, files = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.find("execve(") != std::string::npos) ++programs;
    // A socket of this machine is how the C library asks for a user's name, on behalf of some
    // library.
    if (line.find("socket(") != std::string::npos || line.find("connect(") != std::string::npos) {
      EXPECT_NE(line.find("AF_UNIX"), std::string::npos) << line;
    }
    std::smatch found;
    if (!std::regex_search(line, found, opened)) continue;
    const std::string path = found[1], how = found[2];
    // NVIDIA's cuSPARSELt (libcusparseLt.so.0 of PyPI) looks for it in the current directory.
    if (path.ends_with("libcuda.so.1")) continue;
    ++files;
    if (how.find("O_WRONLY") != std::string::npos || how.find("O_RDWR") != std::string::npos ||
        how.find("O_CREAT") != std::string::npos) {
      const bool is_output =
          path.starts_with((root_ / ".out.partial").string()) || path.starts_with(page.string());
      EXPECT_TRUE(is_output || path == "/dev/null") << "opened for writing: " << line;
    }
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
