// What `cmake --install` leaves behind is complete, can be moved, and can be built against.
#include <gtest/gtest.h>

#include <string>

#include "cli/cli_fixture.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;
using testing::Arguments;
using testing::RunResult;

class Install : public testing::CliTest {
 protected:
  static RunResult cmake(const Arguments& arguments) {
    return testing::run_program(arguments, nullptr, SAGESAN_CMAKE);
  }
  void SetUp() override {
    make_pair();
    const RunResult run = cmake({"--install", SAGESAN_BUILD, "--prefix", root_ / "first place"});
    ASSERT_EQ(run.code, 0) << run.out << run.err;
    fs::rename(root_ / "first place", prefix());
  }
  fs::path prefix() const { return root_ / "prefix"; }
  RunResult installed(const Arguments& arguments) const {
    return testing::run_program(arguments, nullptr, prefix() / "bin" / "sagesan");
  }
  std::string run_client(const std::string& client, const Arguments& arguments) const {
    const RunResult run = testing::run_program(arguments, nullptr, root_ / "client" / client);
    EXPECT_EQ(run.code, 0) << run.err;
    return run.out;
  }
};

TEST_F(Install, ProgramRuns) {
  EXPECT_EQ(installed({"--version"}).out, SAGESAN_VERSION "\n");
  const RunResult run = installed(sanitize({"-q"}));
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_TRUE(fs::exists(out() / "model.safetensors"));
  // The module beside the libraries is the one that ran.
  fs::remove_all(prefix() / SAGESAN_LIBDIR / "sagesan");
  const RunResult refused = installed(sanitize({"--overwrite"}));
  EXPECT_EQ(refused.code, 4);
  EXPECT_NE(refused.err.find("libsagesan_jobs.so: cannot be loaded"), std::string::npos)
      << refused.err;
}

TEST_F(Install, ManualAndCompletion) {
  const auto holds = [&](const char* file, const char* shell) {
    const std::string text = testing::read_file(prefix() / "share" / file);
    EXPECT_EQ(text, installed({"completion", shell}).out) << file;
    EXPECT_NE(text.find("sanitize"), std::string::npos) << file;
  };
  holds("man/man1/sagesan.1", "man");
  holds("bash-completion/completions/sagesan", "bash");
  holds("zsh/site-functions/_sagesan", "zsh");
  holds("fish/vendor_completions.d/sagesan.fish", "fish");
}

TEST_F(Install, LibrariesCanBeBuiltAgainst) {
  const RunResult configured = cmake({"-G", "Ninja", "-S", SAGESAN_CLIENT, "-B", root_ / "client",
                                      "-DCMAKE_PREFIX_PATH=" + prefix().string()});
  ASSERT_EQ(configured.code, 0) << configured.out << configured.err;
  const RunResult built = cmake({"--build", root_ / "client"});
  ASSERT_EQ(built.code, 0) << built.out << built.err;
  EXPECT_EQ(run_client("tensor_client", {}), "16.000\n");
  EXPECT_EQ(run_client("io_client", {base()}), "llama\n");
  EXPECT_TRUE(run_client("io_client", {root_ / "none"}).starts_with("refused: "));
}

}  // namespace
}  // namespace sagesan
