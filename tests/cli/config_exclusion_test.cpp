// Options that contradict each other, typed or in the file of --config.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "cli/config_fixture.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;
using testing::Arguments;
using testing::RunResult;
using ConfigExclusion = testing::ConfigTest;

/// A line in the file, what is typed, what is then not used beside what, and what the report says.
struct Case {
  std::string line;
  Arguments typed;
  std::string dropped, winner, key;
  nlohmann::json value;
};

TEST_F(ConfigExclusion, WhatIsTypedWinsOverItsOpposite) {
  const std::vector<Case> cases = {
      {"strength = 2", {"--target-bias", "0.5"}, "strength", "--target-bias", "target_bias", 0.5},
      {"target-bias = 0.5", {"--strength", "2"}, "target-bias", "--strength", "strength", 2},
      {"energy = 0.5", {"--method", "ridge"}, "energy", "--method", "method", "ridge"},
      {"strength = 2", {"--method", "nullspace"}, "strength", "--method", "strength", nullptr},
      {"target-bias = 0.5", {"--method", "random"}, "target-bias", "--method", "strength", 1},
      {"strength = 2", {"--method", "rollback"}, "strength", "--method", "strength", nullptr},
      {"energy = 0.5", {"--method", "rollback"}, "energy", "--method", "energy", nullptr},
      {"carrier-gain = 2", {"--method", "rollback"}, "carrier-gain", "--method", "carrier_gain", 1},
      {"share = 0.5", {"--method", "sage"}, "share", "--method", "method", "sage"},
      {"method = 'rollback'", {"--strength", "2"}, "method", "--strength", "strength", 2},
      {"method = 'ridge'", {"--energy", "0.5"}, "method", "--energy", "energy", 0.5},
      {"method = 'random'", {"--target-bias", "0.5"}, "method", "--target-bias", "method", "sage"}};
  for (const auto& [line, typed, dropped, winner, key, value] : cases) {
    const RunResult run = testing::run_program(
        with(section(line + "\n"), testing::joined({"sanitize", "--overwrite"}, typed)));
    EXPECT_EQ(run.code, 0) << run.err;
    EXPECT_EQ(run.err, "sagesan: warning: " + file() + ":8: " + dropped +
                           " is not used beside the typed " + winner + "\n");
    EXPECT_EQ(options()[key], value) << line;
  }
}

TEST_F(ConfigExclusion, TypedRetainTextsWinOverMoments) {
  std::string text = section("moments = 'm'\n");
  text.erase(text.find("retain ="), text.find("out =") - text.find("retain ="));
  const RunResult run =
      testing::run_program(with(text, {"sanitize", "--dry-run", "--retain", retain()}));
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_NE(run.out.find("over 100 retain tokens"), std::string::npos) << run.out;
  EXPECT_EQ(run.err,
            "sagesan: warning: " + file() + ":7: moments is not used beside the typed --retain\n");
}

TEST_F(ConfigExclusion, MomentsThatWereTypedWinOverEveryRetainOption) {
  const fs::path moments = root_ / "m.safetensors";
  succeed({"collect", "--base", base(), "--retain", retain(), "--out", moments, "-q"});
  const RunResult run = testing::run_program(
      with(section("max-length = 9\nmax-tokens = 9\nretain-fields = 'a'\ntoken-cap = 5\n"),
           {"sanitize", "--dry-run", "--moments", moments}));
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_NE(run.out.find("over 100 tokens"), std::string::npos) << run.out;
  for (const char* name : {"retain", "max-length", "max-tokens", "retain-fields", "token-cap"}) {
    const std::string note = std::string(": ") + name + " is not used beside the typed --moments\n";
    EXPECT_NE(run.err.find(note), std::string::npos) << run.err;
  }
  EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 5) << run.err;
}

TEST_F(ConfigExclusion, OppositesInTheFileAreRefusedUnlessWhatIsTypedDecides) {
  const std::string both = section("strength = 2\ntarget-bias = 0.5\n");
  const std::string message = ": --target-bias and --strength cannot be given together";
  refuse(with(both), 2, {file() + ":9" + message});
  refuse(with(section(), {"sanitize", "--strength", "2", "--target-bias", "0.5"}), 2,
         {message.substr(2)});
  refuse(with(section("energy = 0.5\nmethod = 'ridge'\n")), 2,
         {file() + ":9: --method ridge takes no --energy: it uses every direction"});
  refuse(with(section("method = 'rollback'\ncarrier-gain = 2\n")), 2,
         {file() + ":8: --method rollback takes no --carrier-gain"});
  refuse(with(section("method = 'sage'\nshare = 0.5\n")), 2,
         {file() + ":8: --method sage takes no --share: only rollback has one"});
  refuse(with(section("share = 0.5\n")), 2, {"--share goes with --method rollback alone"});
  refuse(with(section("moments = 'm'\n")), 2,
         {file() + ":8: --moments and --retain cannot be given together"});
  EXPECT_EQ(succeed(with(both, {"sanitize", "--strength", "3", "-q"})), "");
  EXPECT_EQ(options()["strength"], 3);
  EXPECT_TRUE(options()["target_bias"].is_null());
}

}  // namespace
}  // namespace sagesan
