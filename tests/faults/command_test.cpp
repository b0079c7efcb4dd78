// Every change to the disk that these commands make fails once, and is the last one once: what a
// run writes is complete or absent, the old one or the new one, and nothing else is left.
#include <csignal>

#include "fault_fixture.h"
#include "helpers/adapter_files.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;
using testing::Arguments;
using testing::Files;
using testing::joined;
using testing::RunResult;
using testing::snapshot;

/// A command with the files and folders of the root that a clean run makes.
struct Command {
  Arguments run;
  std::vector<std::string> outputs;
  bool needs_overwrite = true;  ///< to replace them
};

class CommandFaults : public testing::FaultTest, public ::testing::WithParamInterface<std::string> {
 protected:
  Command command();
  /// A moments file of other texts; the retain file is left with `records`.
  void make_old_moments(int records) {
    testing::write_file(retain(), testing::tiny_records(2, 10, 64));
    const fs::path made = root_ / "old.safetensors";
    succeed(joined({"collect", "--base", base(), "--out", made}, texts()));
    old_moments_ = testing::read_file(made);
    fs::remove(made);
    testing::write_file(retain(), testing::tiny_records(records, 10, 64));
    inputs_ = read_inputs();
  }
  Arguments texts() const {
    return {"--retain", retain(), "--device", "cpu", "--threads", "1", "-q"};
  }
  /// The report of a run that is made for it, among the inputs.
  std::string report() {
    succeed(sanitize({"-q"}));
    fs::rename(out(), base() / "out");
    inputs_ = read_inputs();
    return base() / "out/sagesan_report.json";
  }

  void remove(const Command& command) const {
    for (const std::string& output : command.outputs) fs::remove_all(root_ / output);
  }
  /// Outputs of another time: what is a folder in `expected` is one that may be replaced.
  Files put_old(const Command& command, const Files& expected) const {
    remove(command);
    Files old;
    for (const std::string& output : command.outputs) {
      const bool folder = expected.at(output) == "(directory)";
      const std::string file = folder ? output + "/sagesan_report.json" : output;
      if (folder) {
        fs::create_directory(root_ / output);
        old[output] = "(directory)";
      }
      old[file] = output.ends_with(".safetensors") ? old_moments_ : "{}";
      testing::write_file(root_ / file, old[file]);
    }
    return old;
  }
  Files found(const Command& command) const {
    const Files all = snapshot(root_.path());
    Files files;
    for (const std::string& output : command.outputs) files.merge(part_of(all, output));
    return files;
  }
  /// The files of one output.
  static Files part_of(const Files& files, const std::string& output) {
    Files part;
    for (const auto& [name, bytes] : files)
      if (name == output || name.starts_with(output + "/")) part[name] = bytes;
    return part;
  }
  /// Every output must be as in `before` or as in `expected`.
  static void expect_old_or_new(const Command& command, const Files& found, const Files& before,
                                const Files& expected) {
    for (const std::string& output : command.outputs) {
      const Files written = part_of(found, output);
      EXPECT_TRUE(written == part_of(before, output) || written == part_of(expected, output))
          << output;
    }
  }
  /// What a clean run makes, and the changes to the disk by which it does.
  std::pair<Files, std::vector<std::string>> run_cleanly(const Command& command) {
    std::vector<std::string> changes;
    for (const std::string& call : calls_of(command.run))
      if (is_change(call)) changes.push_back(call);
    Files expected = found(command);
    remove(command);
    EXPECT_GE(expected.size(), command.outputs.size());
    EXPECT_GE(changes.size(), 3U);
    return {expected, changes};
  }
  void expect_failure(const RunResult& run) const {
    EXPECT_EQ(run.code, 4) << run.err;
    EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
    EXPECT_TRUE(run.err.starts_with("sagesan: error: ")) << run.err;
    EXPECT_NE(run.err.find("Input/output error"), std::string::npos) << run.err;
  }
  void expect_nothing_else(const Command& command) const {
    EXPECT_EQ(leftovers(command.outputs), std::vector<std::string>{});
    EXPECT_TRUE(read_inputs() == inputs_) << "inputs were changed";
  }

  /// Of writes to a file one after another, the first and the last are enough.
  static bool is_among_others(const std::vector<std::string>& changes, size_t number) {
    return number > 1 && number < changes.size() && changes[number - 2] == changes[number - 1] &&
           changes[number] == changes[number - 1];
  }

  void fail_every_change(bool overwrite) {
    Command command = this->command();
    const auto [expected, changes] = run_cleanly(command);
    if (overwrite && command.needs_overwrite) command.run.emplace_back("--overwrite");
    size_t refused = 0;
    for (size_t i = 1;; ++i) {
      if (is_among_others(changes, i)) continue;
      SCOPED_TRACE(fmt::format("{} of about {}", i, changes.size()));
      const Files before = overwrite ? put_old(command, expected) : Files{};
      if (!overwrite) remove(command);
      const RunResult run = run_with(fmt::format("change:{}:{}", i, EIO), command.run);
      EXPECT_EQ(run.signal, 0) << run.err;
      const Files after = found(command);
      if (run.code != 0) {
        ++refused;
        expect_failure(run);
        expect_old_or_new(command, after, before, expected);
        EXPECT_TRUE(command.outputs.size() > 1 || after == before) << "the old output is gone";
      } else {
        EXPECT_TRUE(after == expected) << "another output";
      }
      if (HasFailure()) return;
      // What cannot be removed is left, and the next run removes it.
      if (run.code == 0 && i > changes.size() + 2) break;
    }
    EXPECT_GT(refused, 2U);
    if (overwrite) put_old(command, expected);
    if (!overwrite) remove(command);
    EXPECT_EQ(testing::run_program(command.run).code, 0);
    EXPECT_TRUE(found(command) == expected);
    expect_nothing_else(command);
  }

  void kill_at_every_change(bool overwrite) {
    Command command = this->command();
    const auto [expected, changes] = run_cleanly(command);
    if (overwrite && command.needs_overwrite) command.run.emplace_back("--overwrite");
    for (size_t i = 1;; ++i) {
      if (is_among_others(changes, i)) continue;
      SCOPED_TRACE(fmt::format("{} of about {}", i, changes.size()));
      const Files before = overwrite ? put_old(command, expected) : Files{};
      if (!overwrite) remove(command);
      const RunResult run = run_with(fmt::format("change:{}:kill", i), command.run);
      expect_old_or_new(command, found(command), before, expected);
      EXPECT_TRUE(read_inputs() == inputs_) << "inputs were changed";
      if (run.signal != SIGKILL) {
        EXPECT_EQ(run.code, 0) << run.err;
        EXPECT_GT(i, 3U);
        break;
      }
      if (HasFailure()) return;
    }
    EXPECT_TRUE(found(command) == expected);
    expect_nothing_else(command);
  }

  std::string old_moments_;
};

Command CommandFaults::command() {
  const std::string& name = GetParam();
  if (name == "Collect") {
    make_old_moments(5);
    return {joined({"collect", "--base", base(), "--out", root_ / "m.safetensors"}, texts()),
            {"m.safetensors"}};
  }
  if (name == "Merge") {
    make_old_moments(5);
    for (const char* part : {"a.safetensors", "b.safetensors"}) {
      testing::write_file(retain(), testing::tiny_records(part[0] == 'a' ? 5 : 3, 10, 64));
      succeed(joined({"collect", "--base", base(), "--out", root_ / part}, texts()));
    }
    for (const char* part : {"a.safetensors", "b.safetensors"})
      fs::rename(root_ / part, base() / part);
    inputs_ = read_inputs();
    return {{"merge", base() / "a.safetensors", base() / "b.safetensors", "--out",
             root_ / "m.safetensors", "-q"},
            {"m.safetensors"}};
  }
  if (name == "Report")
    return {{"report", report(), "--html", root_ / "r.html"}, {"r.html"}, false};
  if (name == "Check")
    return {
        {"check", report(), "--max-bias", "1", "--junit", root_ / "c.xml", "-q"}, {"c.xml"}, false};
  if (name == "Evaluate")
    return {{"evaluate", "--model", base(), "--data", "a=" + retain().string(), "--device", "cpu",
             "--threads", "1", "-q", "--json", root_ / "e.json"},
            {"e.json"},
            false};
  if (name == "Sweep") {
    const fs::path judged = base() / "judged.jsonl";
    fs::copy_file(retain(), judged);
    inputs_ = read_inputs();
    return {joined({"sweep",
                    "--base",
                    base(),
                    "--unlearned",
                    unlearned(),
                    "--forget",
                    retain(),
                    "--retain-eval",
                    judged,
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
            {"out", "s.json", "s.html"}};
  }
  if (name == "Inspect")
    return {{"inspect", "--base", base(), "--unlearned", unlearned(), "-q", "--json"}, {}};
  if (name == "SanitizeWithPages")
    return {sanitize({"-q", "--report", root_ / "r.json", "--html", root_ / "r.html"}),
            {"out", "r.json", "r.html"}};
  if (name == "SanitizeInShards")
    return {sanitize({"-q", "--shard-size", "20KiB", "--dtype", "bf16"}), {"out"}};
  if (name == "SanitizeDelta") return {sanitize({"-q", "--out-format", "delta"}), {"out"}};
  EXPECT_EQ(name, "SanitizeAdapter");
  fs::remove_all(unlearned());
  testing::write_adapter_files(unlearned(), testing::adapter_configuration(2, 3),
                               testing::lora_pair("model.layers.0.self_attn.q_proj", 2, 32, 32));
  inputs_ = read_inputs();
  return {sanitize({"-q", "--out-format", "adapter"}), {"out"}};
}

std::string name_of(const ::testing::TestParamInfo<std::string>& info) { return info.param; }

class FailingCommand : public CommandFaults {};
TEST_P(FailingCommand, ANewOutput) { fail_every_change(/*overwrite=*/false); }
INSTANTIATE_TEST_SUITE_P(Commands, FailingCommand,
                         ::testing::Values("Collect", "Merge", "Report", "Check", "Evaluate",
                                           "Sweep", "SanitizeWithPages", "SanitizeInShards",
                                           "SanitizeDelta", "SanitizeAdapter"),
                         name_of);

class FailingOverwrite : public CommandFaults {};
TEST_P(FailingOverwrite, LeavesTheOldOutput) { fail_every_change(/*overwrite=*/true); }
INSTANTIATE_TEST_SUITE_P(Commands, FailingOverwrite,
                         ::testing::Values("Collect", "Merge", "Report", "Check", "Evaluate",
                                           "Sweep", "SanitizeWithPages", "SanitizeAdapter"),
                         name_of);

/// Ctrl-C while the inputs are read; `report` and `check` have done in the meantime.
class InterruptedCommand : public CommandFaults {};
TEST_P(InterruptedCommand, LeavesNothing) {
  const Command command = this->command();
  const RunResult run = run_with("open:2:int", command.run);
  EXPECT_EQ(run.code, 130) << run.err;
  EXPECT_EQ(run.err, "sagesan: error: interrupted; no output was written\n");
  EXPECT_EQ(run.out, "");
  EXPECT_EQ(found(command), Files{});
  expect_nothing_else(command);
}
INSTANTIATE_TEST_SUITE_P(Commands, InterruptedCommand,
                         ::testing::Values("Collect", "Merge", "Evaluate", "Sweep", "Inspect",
                                           "SanitizeWithPages", "SanitizeAdapter"),
                         name_of);

// `sanitize` and `collect` of a new output: kill_test.cpp.
class KilledCommand : public CommandFaults {};
TEST_P(KilledCommand, ANewOutput) { kill_at_every_change(/*overwrite=*/false); }
INSTANTIATE_TEST_SUITE_P(Commands, KilledCommand,
                         ::testing::Values("Merge", "Report", "Check", "Evaluate", "Sweep",
                                           "SanitizeInShards", "SanitizeDelta", "SanitizeAdapter"),
                         name_of);

class KilledCommandThatOverwrites : public CommandFaults {};
TEST_P(KilledCommandThatOverwrites, LeavesTheOldOutputOrTheNew) {
  kill_at_every_change(/*overwrite=*/true);
}
INSTANTIATE_TEST_SUITE_P(Commands, KilledCommandThatOverwrites,
                         ::testing::Values("Collect", "Merge", "Report", "Check", "Evaluate",
                                           "Sweep", "SanitizeWithPages"),
                         name_of);

}  // namespace
}  // namespace sagesan
