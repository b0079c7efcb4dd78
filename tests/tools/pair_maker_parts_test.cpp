// The pair maker's parts against figures worked out by hand.

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "pair_maker/adamw.h"
#include "pair_maker/facts.h"
#include "pair_maker/tokenizer_trainer.h"
#include "pair_maker/training.h"

namespace sagesan::demo {
namespace {

TEST(Facts, AreDisjointForManySeeds) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const Facts facts = make_facts(seed);
    EXPECT_EQ(facts.forget.size(), 24U);
    EXPECT_EQ(facts.retain.size(), 72U);
    EXPECT_EQ(facts.heldout.size(), 48U);
    std::set<std::string> questions, answers;
    for (const auto* group : {&facts.forget, &facts.retain, &facts.heldout}) {
      for (const QuestionAnswer& record : *group) {
        questions.insert(record.question);
        answers.insert(record.answer);
        EXPECT_EQ((record.question + record.answer).find_first_of("{}"), std::string::npos);
      }
    }
    EXPECT_EQ(questions.size(), 144U) << seed;
    EXPECT_EQ(answers.size(), 144U) << seed;
  }
}

TEST(TokenizerTrainer, MergesTheMostFrequentPairFirst) {
  // Pieces "aab" once and " aab" twice: a-a and a-b three times each, space-a twice.
  const Json tokenizer = train_tokenizer({"aab aab aab"}, 10);
  EXPECT_EQ(tokenizer["model"]["merges"], (Json{"a a", "aa b", "\xC4\xA0 aab"}));
  EXPECT_EQ(tokenizer["model"]["vocab"].size(), 260U);
  EXPECT_EQ(tokenizer["model"]["vocab"]["a"], 98);
  EXPECT_EQ(tokenizer["model"]["vocab"]["aab"], 258);
  EXPECT_EQ(train_tokenizer({"aab aab aab"}, 2)["model"]["merges"], (Json{"a a", "aa b"}));
  EXPECT_EQ(train_tokenizer({"abcd"}, 10)["model"]["merges"], Json::array());
}

TEST(AdamW, FollowsTheFormula) {
  Weights weights;
  weights["w"] = at::full({1}, 2.0, at::kFloat);
  // The first gradient, 0.3, stays as it is; the second, 5, is cut to 1.
  const std::vector<double> gradients = {0.3, 5};
  const double rate = 0.1;
  double value = 2, first = 0, second = 0;
  {
    AdamW optimizer(weights);
    for (int step = 1; step <= 2; ++step) {
      optimizer.step((weights.at("w") * gradients[step - 1]).sum(), rate);
      const double gradient = std::min(gradients[step - 1], 1.0);
      first = 0.9 * first + 0.1 * gradient;
      second = 0.999 * second + 0.001 * gradient * gradient;
      value -= rate * 0.01 * value;
      value -= rate * (first / (1 - std::pow(0.9, step))) /
               (std::sqrt(second / (1 - std::pow(0.999, step))) + 1e-8);
      EXPECT_NEAR(weights.at("w").item<double>(), value, 1e-6) << step;
    }
  }
  EXPECT_FALSE(weights.at("w").requires_grad());
}

TEST(UnlearningMethods, HaveTheLossesOfTheirPapers) {
  // Two answers of 2 and 4 tokens.
  const AnswerLikelihood now{at::tensor(std::vector<float>{-3, -9}),
                             at::tensor(std::vector<float>{2, 4})};
  const Tensor base = at::tensor(std::vector<float>{-1, -2});
  const auto& methods = unlearning_methods();
  ASSERT_EQ(methods.size(), 3U);
  EXPECT_NEAR(methods[0].forget_loss(now, base).item<double>(), -12.0 / 6, 1e-6);
  EXPECT_NEAR(methods[1].forget_loss(now, base).item<double>(), -12.0 / 6, 1e-6);
  // 2 / beta * mean of log(1 + (p / p_base)^beta)
  const double npo = 20 * (std::log(1 + std::exp(0.1 * -2)) + std::log(1 + std::exp(0.1 * -7))) / 2;
  EXPECT_NEAR(methods[2].forget_loss(now, base).item<double>(), npo, 1e-5);
  EXPECT_FALSE(methods[0].descends_on_retain);
  EXPECT_TRUE(methods[1].descends_on_retain);
  EXPECT_FALSE(methods[2].descends_on_retain);
  EXPECT_NEAR(now.mean_probability(), (std::exp(-1.5) + std::exp(-2.25)) / 2, 1e-6);
}

}  // namespace
}  // namespace sagesan::demo
