// Decompositions that fail, with and without LAPACK's word that they did.
#include <set>

#include "cli/weights.h"
#include "fault_fixture.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;
using testing::Arguments;
using testing::RunResult;

/// Wide enough for moments that are decomposed in float32 first, with as many tokens to choose from
/// as make the first of them regular.
testing::TinyModel wide_model() {
  testing::TinyModel model;
  model.hidden = 256;
  model.intermediate = 256;
  model.layers = 1;
  model.vocabulary = 512;
  return model;
}

class FailingSolver : public testing::FaultTest {
 protected:
  FailingSolver() : FaultTest(wide_model()) {}
  void SetUp() override {
    // As many tokens as make a moment of it.
    testing::write_file(retain(), testing::tiny_records(40, 32, wide_model().vocabulary));
    inputs_ = read_inputs();
    for (const std::string& call : calls_of(run({}))) ++calls_[call];
    fs::remove_all(out());
    if (calls_["eigen_double "] + calls_["eigen_float "] == 0)
      GTEST_SKIP() << "this libtorch has its own LAPACK: its calls cannot be made to fail";
  }
  Arguments run(const Arguments& more) const { return sanitize(testing::joined({"-q"}, more)); }

  std::map<std::string, int> calls_;
};

TEST_F(FailingSolver, IsHelpedByFloat64) {
  ASSERT_GT(calls_["eigen_float "], 0);
  succeed(run({}));
  const fs::path weights = out() / "model.safetensors";
  const testing::Weights undisturbed = testing::read_weights(weights);
  fs::remove_all(out());
  std::set<std::string> outputs;
  for (const std::string fault : {"eigen_float:1+:1", "eigen_float:1+:half"}) {
    SCOPED_TRACE(fault);
    const std::string log = root_.path().string() + ".log";
    const RunResult helped = testing::run_program(run({}), with_faults(fault, log));
    EXPECT_EQ(helped.code, 0) << helped.err;
    EXPECT_NE(testing::read_file(log).find("eigen_double "), std::string::npos);
    fs::remove(log);
    EXPECT_LT(testing::largest_difference(testing::read_weights(weights), undisturbed, undisturbed),
              1e-4);
    outputs.insert(testing::read_file(weights));
    fs::remove_all(out());
  }
  EXPECT_EQ(outputs.size(), 1U);
}

TEST_F(FailingSolver, EndsTheRunByNameOfItsModule) {
  const std::string failed =
      "layers.0.attention_input: the eigendecomposition of the second moment failed: ";
  expect_clean_failure(run_with("eigen_float:1+:1,eigen_double:1+:1", run({})),
                       failed + "no convergence", 1);
  expect_clean_failure(run_with("eigen_float:1+:half,eigen_double:1+:half", run({})),
                       failed + "residual ", 1);
}

TEST_F(FailingSolver, OfOneModuleIsEnoughToEndTheRun) {
  // The last of them: all others are done, and their rows written.
  const std::string last =
      "eigen_float:" + std::to_string(calls_["eigen_float "]) + "+:1,eigen_double:1+:1";
  expect_clean_failure(run_with(last, run({})), "failed: no convergence", 1);
}

TEST_F(FailingSolver, ARootThatFailsOnceIsTriedAgain) {
  const Arguments arguments = run({"--forget", retain().string()});
  succeed(arguments);
  const fs::path weights = out() / "model.safetensors";
  const testing::Weights undisturbed = testing::read_weights(weights);
  fs::remove_all(out());
  const RunResult helped = run_with("cholesky:1:3", arguments);
  EXPECT_EQ(helped.code, 0) << helped.err;
  EXPECT_LT(testing::largest_difference(testing::read_weights(weights), undisturbed, undisturbed),
            1e-4);
}

TEST_F(FailingSolver, FactorsAreCheckedToo) {
  const struct {
    Arguments more;
    std::string calls;  ///< that fail
    std::string unnoticed;
  } cases[] = {
      // The root of the moment, which is tried again with more of its diagonal, and the ridge
      // system.
      {{"--forget", retain().string()},
       "1+",
       "the Cholesky factor of the second moment is off by "},
      {{"--forget", retain().string()}, "2", "the solution of the ridge system failed: residual "},
      {{"--rounding", "feedback"},
       "1",
       "the factorization for --rounding feedback failed: residual "},
  };
  for (const auto& one : cases) {
    SCOPED_TRACE(one.unnoticed);
    const std::string at = "layers.0.attention_input: ";
    const std::string call = fmt::format("cholesky:{}:", one.calls);
    expect_clean_failure(run_with(call + "3", run(one.more)),
                         at + "the Cholesky factorization failed", 1);
    expect_clean_failure(run_with(call + "half", run(one.more)),
                         at + "the Cholesky factorization failed", 1);
    expect_clean_failure(run_with(call + "wrong", run(one.more)), at + one.unnoticed, 1);
  }
}

}  // namespace
}  // namespace sagesan
