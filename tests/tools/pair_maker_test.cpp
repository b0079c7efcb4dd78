#include "pair_maker/pair_maker.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "helpers/files.h"
#include "pair_maker/answers.h"
#include "pair_maker/llama.h"
#include "sagesan/jobs/evaluate.h"
#include "sagesan/jobs/token_data.h"
#include "sagesan/model/decoder.h"
#include "sagesan/support/error.h"
#include "sagesan/support/json.h"
#include "sagesan/support/threads.h"

namespace sagesan::demo {
namespace {

using sagesan::testing::expect_io_error;
using sagesan::testing::read_file;
using sagesan::testing::snapshot;
using sagesan::testing::TemporaryDirectory;

/// The pairs of one seed, made once for all tests.
class PairMaker : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = new TemporaryDirectory;
    made_ = new MadePairs(make_pairs(directory_->path() / "pairs", 1, nullptr));
  }
  static void TearDownTestSuite() {
    delete made_;
    delete directory_;
  }

  /// Mean answer probability of forget, retain and heldout, by the production code.
  static std::vector<double> probabilities(const std::filesystem::path& model) {
    EvaluateOptions options;
    options.models = {{"model", model}};
    options.data = {
        {"forget", made_->forget}, {"retain", made_->retain}, {"heldout", made_->heldout}};
    options.device = "cpu";
    std::vector<double> result;
    const EvaluateResult found = evaluate(options, nullptr, [](const std::string&) {});
    for (size_t i = 0; i < found.data_sets.size(); ++i)
      result.push_back(found.models.front().summary(i).mean_answer_probability);
    return result;
  }

  static TemporaryDirectory* directory_;
  static MadePairs* made_;
};

TemporaryDirectory* PairMaker::directory_ = nullptr;
MadePairs* PairMaker::made_ = nullptr;

TEST_F(PairMaker, BaseKnowsAllGroups) {
  const std::vector<double> known = probabilities(made_->base);
  ASSERT_EQ(known.size(), 3U);
  for (const double probability : known) {
    EXPECT_GE(probability, 0.9);
    EXPECT_LE(probability, 1.0);
  }
}

TEST_F(PairMaker, EveryMethodForgets) {
  std::vector<std::string> names;
  for (const auto& [name, model] : made_->unlearned) {
    names.push_back(name);
    const double forget = probabilities(model)[0];
    EXPECT_LT(forget, 0.051) << name;  // the trainer stopped below 0.05
    EXPECT_GT(forget, 0) << name;
  }
  EXPECT_EQ(names, (std::vector<std::string>{"ga", "graddiff", "npo"}));
}

TEST_F(PairMaker, RecordsAreDisjoint) {
  std::set<std::string> texts;
  size_t count = 0;
  for (const auto& file : {made_->forget, made_->retain, made_->heldout}) {
    const std::vector<Record> records = read_records(file);
    EXPECT_GE(records.size(), 20U);
    for (const Record& record : records) {
      EXPECT_TRUE(record.has_answer);
      texts.insert(record.text);
      ++count;
    }
  }
  EXPECT_EQ(texts.size(), count);
}

/// The decoder of src/model and the trainer's own Llama share no code.
TEST_F(PairMaker, DecoderAgreesWithTheTrainersLlama) {
  const std::filesystem::path& directory = made_->unlearned.front().second;
  const Checkpoint checkpoint = Checkpoint::open(directory);
  ModelConfiguration model = read_configuration(directory);
  match_parameters(model, checkpoint);
  const TokenData texts =
      read_token_data({made_->heldout}, {find_tokenizer(directory), {}}, {}, model);
  Decoder decoder(model, checkpoint, at::kCPU);
  HiddenStates states = decoder.embed(texts.batch);
  for (int64_t layer = 0; layer < model.layer_count(); ++layer) {
    decoder.run_layer(layer, states, texts.batch, {}, true, nullptr);
  }
  decoder.run_final_norm(states, texts.batch, {}, nullptr);
  const Tensor expected = decoder.head_rows(0, model.vocabulary).logits(states.tensor());

  LlamaShape shape;
  shape.vocabulary = model.vocabulary;
  Weights weights;
  for (const StoredTensor& stored : checkpoint.tensors()) weights[stored.info->name] = load(stored);
  // Of different lengths, so that padding is tried as well.
  const auto count = static_cast<int64_t>(texts.batch.lengths.size());
  const int64_t length = *std::max_element(texts.batch.lengths.begin(), texts.batch.lengths.end());
  ASSERT_NE(length, *std::min_element(texts.batch.lengths.begin(), texts.batch.lengths.end()));
  Tensor ids = at::zeros({count, length}, at::kLong);
  std::vector<int64_t> rows;
  for (int64_t text = 0, start = 0; text < count; ++text) {
    const int64_t tokens = texts.batch.lengths[text];
    for (int64_t i = 0; i < tokens; ++i) {
      ids[text][i] = texts.batch.ids[start + i];
      rows.push_back(text * length + i);
    }
    start += tokens;
  }
  const Tensor own =
      head_logits(weights, final_states(shape, weights, ids)).index_select(0, at::tensor(rows));
  ASSERT_EQ(own.sizes(), expected.sizes());
  const double difference = (own - expected).abs().max().item<double>();
  const double deviation = expected.std().item<double>();
  RecordProperty("relative_difference", std::to_string(difference / deviation));
  EXPECT_GT(deviation, 0.1);
  EXPECT_LT(difference, 1e-4 * deviation);
}

TEST_F(PairMaker, TrainersLikelihoodIsTheEvaluatorsOne) {
  const std::filesystem::path& directory = made_->unlearned.back().second;
  const Checkpoint checkpoint = Checkpoint::open(directory);
  LlamaShape shape;
  Weights weights;
  for (const StoredTensor& stored : checkpoint.tensors()) weights[stored.info->name] = load(stored);
  const auto examples = read_examples(made_->retain, *find_tokenizer(directory));
  EXPECT_NEAR(answer_likelihood(shape, weights, examples).mean_probability(),
              probabilities(directory)[1], 1e-5);
}

/// Mean answer probability of a list of losses.
double mean_probability(const Json& losses) {
  double sum = 0;
  for (const double loss : losses) sum += std::exp(-loss);
  return sum / static_cast<double>(losses.size());
}

/// The second time with a study, which changes nothing else.
TEST_F(PairMaker, OneSeedGivesTheSameBytes) {
  const int threads = at::get_num_threads();
  set_threads(2);
  const TemporaryDirectory other;
  const std::filesystem::path pairs = other.path() / "pairs";
  make_pairs(pairs, 1, nullptr, 1, 0.5);
  EXPECT_EQ(at::get_num_threads(), 2);
  set_threads(threads);
  const std::vector<double> base = probabilities(made_->base);
  for (const auto& [name, model] : made_->unlearned) {
    const auto take = [&, method = name](const char* kind) {
      const std::filesystem::path file = pairs / (method + kind);
      Json list = Json::parse(read_file(file));
      std::filesystem::remove(file);
      return list;
    };
    const Json steps = take("_steps.json"), finetuned = take("_finetuned.json");
    const std::vector<double> unlearned = probabilities(model);
    ASSERT_GE(steps.size(), 3U) << name;
    EXPECT_NEAR(mean_probability(steps.front()["forget"]), base[0], 1e-5) << name;
    EXPECT_NEAR(mean_probability(steps.front()["heldout"]), base[2], 1e-5) << name;
    EXPECT_NEAR(mean_probability(steps.back()["forget"]), unlearned[0], 1e-5) << name;
    EXPECT_NEAR(mean_probability(steps.back()["heldout"]), unlearned[2], 1e-5) << name;
    // It repairs some of the damage.
    ASSERT_FALSE(finetuned.empty()) << name;
    EXPECT_GT(mean_probability(finetuned.back()["heldout"]), unlearned[2] + 0.01) << name;
  }
  const auto files = snapshot(pairs);
  EXPECT_EQ(files.size(), 4U + 4 * 4 + 3);
  EXPECT_TRUE(files == snapshot(directory_->path() / "pairs"));
}

TEST_F(PairMaker, MakesOtherFactsOfAnotherSeedAndStopsWhereProgressThrows) {
  const int threads = at::get_num_threads();
  const TemporaryDirectory other;
  int calls = 0;
  const auto stop = [&](std::string_view stage, double done, double total) {
    EXPECT_EQ(stage, "base");
    EXPECT_LT(done, total);
    if (++calls == 3) throw Interrupted();
  };
  EXPECT_THROW(make_pairs(other.path(), 2, stop), Interrupted);
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(at::get_num_threads(), threads);
  EXPECT_NE(read_file(other.path() / "forget.jsonl"), read_file(made_->forget));
  EXPECT_FALSE(std::filesystem::exists(other.path() / "ga"));
}

TEST_F(PairMaker, RefusesADirectoryThatHoldsPairs) {
  expect_io_error([] { make_pairs(directory_->path() / "pairs", 1, nullptr); }, "forget.jsonl",
                  "exists");
}

}  // namespace
}  // namespace sagesan::demo
