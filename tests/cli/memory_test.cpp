// --max-memory, and what a dry run says of memory.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "cli/cli_fixture.h"

namespace sagesan::testing {
namespace {

class Memory : public CliTest {
 protected:
  /// 64 MiB of hidden states between small layers.
  void make_long_texts() {
    TinyModel model;
    model.hidden = 512;
    model.layers = 1;
    make_base(base(), model);
    make_unlearned(unlearned(), model);
    write_file(retain(), tiny_records(512, 64, model.vocabulary));
  }

  /// What two dry runs' figures may differ by, MiB: each has its own process in it.
  static constexpr double kProcess = 12;

  /// MiB, as a dry run says.
  int64_t need(const std::string& printed) {
    EXPECT_NE(printed.find(" MiB of memory, "), std::string::npos) << printed;
    return number_after(printed, "would need about ");
  }
  int64_t most(const std::string& printed) {
    EXPECT_NE(printed.find(" at most"), std::string::npos) << printed;
    return number_after(printed, " MiB of memory, ");
  }
  static int64_t number_after(const std::string& printed, const std::string& before) {
    const size_t found = printed.find(before);
    EXPECT_NE(found, std::string::npos) << printed;
    return std::atoll(printed.c_str() + found + before.size());
  }
  static std::string mebibytes(int64_t count) { return std::to_string(count) + "MiB"; }
};

TEST_F(Memory, MoreTokensNeedAsMuchMoreAsTheirHiddenStatesTake) {
  make_long_texts();
  const int64_t all = need(succeed(sanitize({"--dry-run"})));
  const int64_t half = need(run_program(sanitize({"--dry-run", "--max-tokens", "16384"})).out);
  EXPECT_NEAR(static_cast<double>(all - half), 32, kProcess);
}

TEST_F(Memory, ARunTakesWhatIsSaidAndNoMore) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "AddressSanitizer keeps what is freed";
#endif
  make_long_texts();
  for (const Arguments& options :
       {Arguments{}, {"--energy", "1"}, {"--method", "rollback"}, {"--max-tokens", "400"}}) {
    const std::string planned = run_program(sanitize(joined(options, {"--dry-run"}))).out;
    const RunResult run = run_program(sanitize(options));
    ASSERT_EQ(run.code, 0) << run.err;
    std::filesystem::remove_all(out());
    EXPECT_LE(run.max_resident >> 20, most(planned)) << planned;
    EXPECT_GE(run.max_resident >> 20, need(planned) / 2) << planned;
  }
}

TEST_F(Memory, HiddenStatesGoToAFileWhereTheyDoNotFit) {
  make_long_texts();
  const std::string all_printed = succeed(sanitize({"--dry-run"}));
  const int64_t all = need(all_printed);
  const Arguments limit = {"--max-memory", mebibytes(most(all_printed) - 16)};
  const std::string planned = succeed(sanitize(joined({"--dry-run"}, limit)));
  EXPECT_NE(planned.find(", with the hidden states in a file\n"), std::string::npos) << planned;
  EXPECT_NEAR(static_cast<double>(all - need(planned)), 64, kProcess);

  const RunResult spilled = run_program(sanitize(joined({"-q", "--profile"}, limit)));
  ASSERT_EQ(spilled.code, 0) << spilled.err;
  // Written by the embedding and by the layer, read by the layer and by the final norm.
  EXPECT_NE(spilled.err.find("\nspill "), std::string::npos) << spilled.err;
  const std::string bytes = read_file(out() / "model.safetensors");
  std::filesystem::remove_all(out());
  const RunResult kept = run_program(sanitize({"-q", "--profile"}));
  ASSERT_EQ(kept.code, 0) << kept.err;
  EXPECT_EQ(kept.err.find("spill"), std::string::npos) << kept.err;
  EXPECT_TRUE(bytes == read_file(out() / "model.safetensors"));
}

TEST_F(Memory, WhatNeedsMoreIsRefused) {
  make_pair();
  for (const Arguments& more : {Arguments{}, {"--dry-run"}}) {
    refuse(sanitize(joined(more, {"--max-memory", "1MiB"})), 3,
           {base().string(), "needs about ", "--max-memory allows 1:", "--max-tokens"});
  }
  succeed(sanitize({"--max-memory", "64GiB"}));
}

TEST_F(Memory, TheLimitIsASize) {
  make_pair();
  refuse(sanitize({"--max-memory", "much"}), 2, {"--max-memory 'much'", "5GB"});
}

}  // namespace
}  // namespace sagesan::testing
