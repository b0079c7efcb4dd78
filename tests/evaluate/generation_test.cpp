#include "sagesan/evaluate/generation.h"

#include <gtest/gtest.h>

#include "helpers/tiny_model.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

using Texts = std::vector<std::vector<int64_t>>;

class Generation : public ::testing::Test {
 protected:
  Generation() {
    testing::make_base(directory_.path(), {});
    checkpoint_.emplace(Checkpoint::open(directory_.path()));
    model_ = read_configuration(directory_.path());
    match_parameters(model_, *checkpoint_);
  }

  Texts run(const GenerationSettings& settings, const GenerationLimits& limits) const {
    return generate(model_, *checkpoint_, prompts_, settings, limits, at::kCPU, nullptr);
  }

  /// A pass over the whole text for every token.
  Texts slowly(int64_t tokens, double penalty) const {
    Decoder decoder(model_, *checkpoint_, at::kCPU);
    Texts results;
    for (std::vector<int64_t> text : prompts_) {
      const size_t prompt = text.size();
      for (int64_t i = 0; i < tokens; ++i) {
        TokenBatch batch;
        batch.add(text);
        HiddenStates hidden = decoder.embed(batch);
        for (int64_t layer = 0; layer < model_.layer_count(); ++layer)
          decoder.run_layer(layer, hidden, batch, {}, true, {});
        decoder.run_final_norm(hidden, batch, {}, {});
        Tensor logits = decoder.head_rows(0, model_.vocabulary).logits(hidden.tensor())[-1];
        auto* logit = logits.data_ptr<float>();
        for (const int64_t id : std::set<int64_t>(text.begin(), text.end())) {
          const auto factor = static_cast<float>(logit[id] < 0 ? penalty : 1 / penalty);
          logit[id] *= factor;
        }
        text.push_back(std::max_element(logit, logit + model_.vocabulary) - logit);
      }
      results.emplace_back(text.begin() + static_cast<std::ptrdiff_t>(prompt), text.end());
    }
    return results;
  }

  testing::TemporaryDirectory directory_;
  std::optional<Checkpoint> checkpoint_;
  ModelConfiguration model_;
  Texts prompts_ = {{5}, {1, 2, 3, 4, 5, 6, 7}, {9, 9}, {5}};
};

TEST_F(Generation, IsThatOfAPassOverTheWholeText) {
  for (const double penalty : {1.0, 1.5}) {
    const Texts expected = slowly(12, penalty);
    EXPECT_EQ(expected[0], expected[3]);
    EXPECT_NE(expected[0], expected[1]);
    const GenerationSettings settings{.repetition_penalty = penalty};
    EXPECT_EQ(run(settings, {.max_new_tokens = 12}), expected);
    // One text at a time, and two, with weights that are read for every token.
    EXPECT_EQ(run(settings, {.max_new_tokens = 12, .memory = 1}), expected);
    const int64_t two = 2 * 32 * KeyValueCache::token_bytes(model_);
    ASSERT_GT(Decoder::weight_bytes(model_), two / 2);
    EXPECT_EQ(run(settings, {.max_new_tokens = 12, .memory = two}), expected);
  }
  EXPECT_NE(slowly(12, 1), slowly(12, 1.5));
}

TEST_F(Generation, EndsAtEachOfTheEnds) {
  const Texts whole = run({}, {.max_new_tokens = 12});
  const int64_t end = whole[1][3];
  const int64_t other = whole[2][0];
  Texts expected;
  for (const std::vector<int64_t>& text : whole) {
    const auto is_end = [&](int64_t id) { return id == end || id == other; };
    expected.emplace_back(text.begin(), std::find_if(text.begin(), text.end(), is_end));
  }
  EXPECT_TRUE(expected[2].empty());
  EXPECT_LE(expected[1].size(), 3U);
  EXPECT_EQ(run({.end_ids = {other, end, 1000000}}, {.max_new_tokens = 12}), expected);
}

TEST_F(Generation, TakesWeightsIntoAccount) {
  // By hand: two layers of q, k, v, o (32 x 32, 2 x 16 x 32), MLP, norms; head and final norm.
  const int64_t layer = 2 * 32 * 32 + 2 * 16 * 32 + 3 * 48 * 32 + 2 * 32;
  EXPECT_EQ(Decoder::weight_bytes(model_), 4 * (2 * layer + 64 * 32 + 32));
  EXPECT_EQ(KeyValueCache::token_bytes(model_), 4 * 2 * 2 * 16);
}

TEST_F(Generation, RefusesWhatIsNotFinite) {
  testing::TinyWeights weights = testing::base_weights({});
  for (double& gain : testing::tensor_named(weights, "model.norm.weight").values) gain = 3e38;
  testing::TemporaryDirectory directory;
  testing::write_checkpoint(directory.path(), {}, weights);
  const Checkpoint checkpoint = Checkpoint::open(directory.path());
  EXPECT_THROW(generate(model_, checkpoint, prompts_, {}, {.max_new_tokens = 2}, at::kCPU, nullptr),
               Error);
}

}  // namespace
}  // namespace sagesan
