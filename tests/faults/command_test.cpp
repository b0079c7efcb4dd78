// Every change to the disk that these commands make fails once: exit code 4 and one line, what a
// run writes is complete or absent, and nothing else is left.
#include "fault_fixture.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;
using testing::Arguments;
using testing::Files;
using testing::joined;
using testing::RunResult;
using testing::snapshot;

class FailingCommand : public testing::FaultTest {
 protected:
  /// `outputs` are files or folders of the root that a clean run makes.
  void expect_every_change_may_fail(const Arguments& run, const std::vector<std::string>& outputs) {
    const auto take = [&] {
      const Files all = snapshot(root_.path());
      Files files;
      for (const std::string& output : outputs) {
        files.merge(part_of(all, output));
        fs::remove_all(root_ / output);
      }
      return files;
    };
    std::vector<std::string> changes;
    for (const std::string& call : calls_of(run))
      if (is_change(call)) changes.push_back(call);
    const Files expected = take();
    ASSERT_GE(expected.size(), outputs.size());
    ASSERT_GE(changes.size(), 3U);
    size_t refused = 0;
    for (size_t i = 1; i <= changes.size(); ++i) {
      // Of writes to a file one after another, the first and the last.
      if (i > 1 && i < changes.size() && changes[i - 2] == changes[i - 1] &&
          changes[i] == changes[i - 1])
        continue;
      SCOPED_TRACE(fmt::format("{} of {}: {}", i, changes.size(), changes[i - 1]));
      const RunResult result = run_with(fmt::format("change:{}:{}", i, EIO), run);
      EXPECT_EQ(result.signal, 0) << result.err;
      const bool removal = changes[i - 1].starts_with("remove ");
      if (result.code != 0) {
        ++refused;
        EXPECT_EQ(result.code, 4) << result.err;
        EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
        EXPECT_TRUE(result.err.starts_with("sagesan: error: ")) << result.err;
        EXPECT_NE(result.err.find("Input/output error"), std::string::npos) << result.err;
      }
      const Files found = take();
      EXPECT_TRUE(result.code != 0 || found == expected) << "another output";
      for (const std::string& output : outputs) {
        const Files written = part_of(found, output);
        EXPECT_TRUE(written.empty() || written == part_of(expected, output)) << output;
      }
      EXPECT_TRUE(std::includes(expected.begin(), expected.end(), found.begin(), found.end()));
      // What cannot be removed is left; the next run removes it.
      EXPECT_TRUE(removal || leftovers().empty()) << leftovers().front();
      EXPECT_TRUE(read_inputs() == inputs_) << "inputs were changed";
      if (HasFailure()) return;
    }
    EXPECT_GT(refused, 2U);
    EXPECT_EQ(testing::run_program(run).code, 0);
    EXPECT_TRUE(take() == expected);
    EXPECT_EQ(leftovers(), std::vector<std::string>{});
  }
  /// The files of one output.
  static Files part_of(const Files& files, const std::string& output) {
    Files part;
    for (const auto& [name, bytes] : files)
      if (name == output || name.starts_with(output + "/")) part[name] = bytes;
    return part;
  }
  Arguments texts() const {
    return {"--retain", retain(), "--device", "cpu", "--threads", "1", "-q"};
  }
};

TEST_F(FailingCommand, Collect) {
  expect_every_change_may_fail(
      joined({"collect", "--base", base(), "--out", root_ / "m.safetensors"}, texts()),
      {"m.safetensors"});
}

TEST_F(FailingCommand, Merge) {
  for (const char* name : {"a.safetensors", "b.safetensors"}) {
    testing::write_file(retain(), testing::tiny_records(name[0] == 'a' ? 5 : 3, 10, 64));
    succeed(joined({"collect", "--base", base(), "--out", root_ / name}, texts()));
  }
  for (const char* name : {"a.safetensors", "b.safetensors"})
    fs::rename(root_ / name, base() / name);
  inputs_ = read_inputs();
  expect_every_change_may_fail({"merge", base() / "a.safetensors", base() / "b.safetensors",
                                "--out", root_ / "m.safetensors", "-q"},
                               {"m.safetensors"});
}

TEST_F(FailingCommand, ReportAndCheck) {
  succeed(sanitize({"-q"}));
  fs::rename(out(), base() / "out");
  inputs_ = read_inputs();
  const std::string report = base() / "out/sagesan_report.json";
  expect_every_change_may_fail({"report", report, "--html", root_ / "r.html"}, {"r.html"});
  expect_every_change_may_fail(
      {"check", report, "--max-bias", "1", "--junit", root_ / "c.xml", "-q"}, {"c.xml"});
}

TEST_F(FailingCommand, SanitizeWithPages) {
  expect_every_change_may_fail(
      sanitize({"-q", "--report", root_ / "r.json", "--html", root_ / "r.html"}),
      {"out", "r.json", "r.html"});
}

TEST_F(FailingCommand, Evaluate) {
  expect_every_change_may_fail(
      {"evaluate", "--model", base(), "--data", "a=" + retain().string(), "--device", "cpu",
       "--threads", "1", "-q", "--json", root_ / "e.json"},
      {"e.json"});
}

TEST_F(FailingCommand, Sweep) {
  expect_every_change_may_fail(joined({"sweep",
                                       "--base",
                                       base(),
                                       "--unlearned",
                                       unlearned(),
                                       "--forget",
                                       retain(),
                                       "--retain-eval",
                                       retain(),
                                       "--methods",
                                       "sage",
                                       "--strengths",
                                       "1",
                                       "--gains",
                                       "1",
                                       "--keep-forgetting",
                                       "0.1",
                                       "--out",
                                       out(),
                                       "--json",
                                       root_ / "s.json",
                                       "--html",
                                       root_ / "s.html"},
                                      texts()),
                               {"out", "s.json", "s.html"});
}

}  // namespace
}  // namespace sagesan
