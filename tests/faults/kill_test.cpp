// SIGKILL at every boundary of what changes the disk, and at random: the output is complete or
// absent, the old or the new one, and the next run succeeds.
//
// SAGESAN_KILL_ROUNDS: how often the tests at random kill, in all; 30 where it is not set.
#include <chrono>
#include <csignal>
#include <random>
#include <thread>

#include "fault_fixture.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;
using testing::Arguments;
using testing::Files;
using testing::Program;
using testing::RunResult;
using testing::snapshot;

int rounds() {
  const char* words = std::getenv("SAGESAN_KILL_ROUNDS");
  return words == nullptr ? 30 : std::atoi(words);
}

class Kill : public testing::FaultTest {
 protected:
  /// Kills `run` at each of its changes in turn, each time from what the last kill left; `is_fine`
  /// looks at the output behind each. `more` are other faults. Returns how many there were.
  int kill_at_every_change(const Arguments& run, const std::function<bool()>& is_fine,
                           const std::string& more = "") {
    int number = 1;
    for (;; ++number) {
      const RunResult result = run_with(fmt::format("change:{}:kill{}", number, more), run);
      EXPECT_TRUE(is_fine()) << "killed at change " << number;
      EXPECT_TRUE(read_inputs() == inputs_) << "inputs were changed";
      if (result.signal != SIGKILL) {
        EXPECT_EQ(result.code, 0) << result.err;
        break;
      }
      if (::testing::Test::HasFailure() || number > 500) break;
    }
    return number - 1;
  }
};

TEST_F(Kill, AtEveryChangeOfANewOutput) {
  succeed(sanitize({"-q"}));
  const Files expected = snapshot(out());
  fs::remove_all(out());
  const auto is_fine = [&] {
    const Files found = snapshot(out());
    if (found.empty()) return true;
    fs::remove_all(out());  // the next kill finds none
    return found == expected;
  };
  EXPECT_GT(kill_at_every_change(sanitize({"-q"}), is_fine), 10);
  succeed(sanitize({"-q"}));
  EXPECT_TRUE(snapshot(out()) == expected);
  EXPECT_EQ(leftovers(), std::vector<std::string>{});
}

class KilledOverwrite : public Kill, public ::testing::WithParamInterface<std::string> {};

TEST_P(KilledOverwrite, LeavesTheOldOutputOrTheNew) {
  Files outputs[2];
  for (const int which : {0, 1}) {
    succeed(sanitize({"-q", "--overwrite", "--strength", which == 0 ? "1" : "4"}));
    outputs[which] = snapshot(out());
  }
  // Where there is no exchange the output is away for a moment, and the next run puts it back.
  const fs::path moved = root_ / ".out.old.partial";
  const auto is_fine = [&] {
    const Files found = snapshot(fs::exists(out()) || GetParam().empty() ? out() : moved);
    return found == outputs[0] || found == outputs[1];
  };
  EXPECT_GT(
      kill_at_every_change(sanitize({"-q", "--overwrite", "--strength", "1"}), is_fine, GetParam()),
      10);
  succeed(sanitize({"-q", "--overwrite", "--strength", "4"}));
  EXPECT_TRUE(snapshot(out()) == outputs[1]);
  EXPECT_EQ(leftovers(), std::vector<std::string>{});
}

INSTANTIATE_TEST_SUITE_P(FileSystems, KilledOverwrite,
                         ::testing::Values("", fmt::format(",exchange:1:{0},place:1:{0}", EINVAL)));

TEST_F(Kill, AtEveryChangeOfAMomentsFile) {
  const Arguments collect = {
      "collect",  "--base", base(),      "--retain", retain(), "--out", root_ / "m.safetensors",
      "--device", "cpu",    "--threads", "1",        "-q"};
  succeed(collect);
  const std::string expected = testing::read_file(root_ / "m.safetensors");
  fs::remove(root_ / "m.safetensors");
  const auto is_fine = [&] {
    if (!fs::exists(root_ / "m.safetensors")) return true;
    const bool same = testing::read_file(root_ / "m.safetensors") == expected;
    fs::remove(root_ / "m.safetensors");
    return same;
  };
  EXPECT_GT(kill_at_every_change(collect, is_fine), 4);
  succeed(collect);
  EXPECT_EQ(leftovers({"m.safetensors"}), std::vector<std::string>{});
}

TEST_F(Kill, InterruptedOnceAndTwice) {
  const Arguments run = sanitize({"-q"});
  const RunResult once = run_with("write:1:int", run);
  EXPECT_EQ(once.code, 130) << once.err;
  EXPECT_EQ(once.err, "sagesan: error: interrupted; no output was written\n");
  EXPECT_EQ(leftovers(), std::vector<std::string>{});
  const RunResult twice = run_with("write:1:int,write:2:int", run);
  EXPECT_TRUE(twice.signal == SIGINT || twice.code == 130) << twice.code << " " << twice.err;
  EXPECT_FALSE(fs::exists(out()));
  succeed(run);
  EXPECT_EQ(leftovers(), std::vector<std::string>{});
}

/// Runs that are killed after a random time.
class RandomKill : public Kill {
 protected:
  /// The longest time that `run` may take, in milliseconds.
  void kill_at_random(const Arguments& run, int count, const std::function<void()>& check) {
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(testing::run_program(run).code, 0);
    const auto whole = std::chrono::duration_cast<std::chrono::microseconds>(
        std::chrono::steady_clock::now() - begin);
    check();
    std::mt19937 random(7);
    std::uniform_real_distribution<double> share(0, 1.1);
    int killed = 0;
    for (int i = 0; i < count; ++i) {
      Program program(run);
      std::this_thread::sleep_for(whole * share(random));
      ::kill(program.pid(), SIGKILL);
      const RunResult result = program.wait();
      if (result.signal == SIGKILL)
        ++killed;
      else
        EXPECT_EQ(result.code, 0) << result.err;
      check();
      EXPECT_TRUE(read_inputs() == inputs_) << "inputs were changed";
      if (HasFailure()) return;
    }
    EXPECT_GT(killed, count / 3);
    EXPECT_EQ(testing::run_program(run).code, 0);
    check();
  }
};

TEST_F(RandomKill, Sanitize) {
  const Arguments run = sanitize({"-q", "--overwrite"});
  Files expected;
  kill_at_random(run, rounds() / 2, [&] {
    if (expected.empty()) expected = snapshot(out());
    EXPECT_TRUE(snapshot(out()) == expected);
  });
  EXPECT_EQ(leftovers(), std::vector<std::string>{});
}

TEST_F(RandomKill, BatchGoesOnWhereItWas) {
  testing::make_unlearned(root_ / "other", {.shards = 2, .noise = 0.1});
  nlohmann::json manifest = {
      {"defaults", {{"base", "base"}, {"retain", {"retain.jsonl"}}}},
      {"jobs",
       {{{"name", "a"}, {"unlearned", "unlearned"}, {"out", "a"}},
        {{"name", "b"}, {"unlearned", "other"}, {"out", "b"}},
        {{"name", "c"}, {"unlearned", "other"}, {"out", "c"}, {"strength", 3}}}}};
  testing::write_file(root_ / "batch.json", manifest.dump());
  const std::vector<std::string> jobs = {"a", "b", "c"};
  const Arguments run = {"batch", root_ / "batch.json", "--device", "cpu", "--threads", "1", "-q"};
  std::map<std::string, Files> expected;
  int done = 0;
  kill_at_random(run, rounds() - rounds() / 2, [&] {
    size_t complete = 0;
    for (const std::string& job : jobs) {
      const Files found = snapshot(root_ / job);
      if (expected.size() < jobs.size()) expected[job] = found;
      EXPECT_TRUE(found.empty() || found == expected[job]) << job;
      complete += found.empty() ? 0 : 1;
    }
    if (complete < jobs.size()) return;
    ++done;
    for (const std::string& job : jobs) fs::remove_all(root_ / job);  // from the beginning again
  });
  EXPECT_GT(done, 1);
  std::vector<std::string> known = jobs;
  known.insert(known.end(), {"other", "batch.json"});
  EXPECT_EQ(leftovers(known), std::vector<std::string>{});
}

}  // namespace
}  // namespace sagesan
