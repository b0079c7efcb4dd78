// What runs on a GPU against the same on the CPU. Skipped, and said so, where there is no GPU.
#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "cli/weights.h"
#include "helpers/files.h"
#include "helpers/tiny_model.h"
#include "sagesan/activations/runner.h"
#include "sagesan/evaluate/generation.h"
#include "sagesan/jobs/device.h"
#include "sagesan/jobs/sanitize.h"
#include "sagesan/model/decoder.h"
#include "sagesan/spectral/subspace.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

using testing::TinyModel;

class Cuda : public ::testing::Test {
 protected:
  void SetUp() override {
    try {
      cuda_ = parse_device("cuda");
    } catch (const UsageError& error) {
      GTEST_SKIP() << "no CUDA device: " << error.what();
    }
    model_.layers = 3;
    model_.attention_bias = true;
    testing::make_base(root_ / "base", model_);
    testing::make_unlearned(root_ / "unlearned", model_);
    testing::write_file(root_ / "retain.jsonl", testing::tiny_records(10, 40, model_.vocabulary));
    for (int64_t i = 0; i < 10; ++i) {
      std::vector<int64_t> text;
      for (int64_t t = 0; t < 40; ++t) text.push_back((i * 31 + t * t * 7) % model_.vocabulary);
      batch_.add(text);
    }
  }

  static double difference(const Tensor& a, const Tensor& b) {
    return std::sqrt(squared_norm(a.cpu() - b.cpu()) / squared_norm(b.cpu()));
  }
  std::map<Site, SiteMoment> moments(at::Device device) {
    const Checkpoint checkpoint = Checkpoint::open(root_ / "base");
    const ModelConfiguration model = read_configuration(root_ / "base");
    ObservationPlan plan;
    for (const auto& [site, channels] : model_sites(model)) plan.sites.insert(site);
    std::map<Site, SiteMoment> result;
    observe(
        model, checkpoint, device, batch_, plan, [](int64_t) {},
        [&](const Site& site, const SiteMoment& moment, double) { result.emplace(site, moment); });
    return result;
  }

  at::Device cuda_ = at::kCPU;
  TinyModel model_;
  TokenBatch batch_;
  testing::TemporaryDirectory root_;
};

TEST_F(Cuda, GeneratesTheSame) {
  const Checkpoint checkpoint = Checkpoint::open(root_ / "base");
  ModelConfiguration model = read_configuration(root_ / "base");
  match_parameters(model, checkpoint);
  const auto run = [&](at::Device device) {
    return generate(model, checkpoint, {{1, 2, 3}, {9}}, {.repetition_penalty = 1.2},
                    {.max_new_tokens = 20}, device, nullptr);
  };
  EXPECT_EQ(run(cuda_), run(at::kCPU));
}

TEST_F(Cuda, ForwardAgrees) {
  const Checkpoint checkpoint = Checkpoint::open(root_ / "base");
  const ModelConfiguration model = read_configuration(root_ / "base");
  const auto logits = [&](at::Device device) {
    Decoder decoder(model, checkpoint, device);
    HiddenStates hidden = decoder.embed(batch_);
    for (int64_t layer = 0; layer < model.layer_count(); ++layer)
      decoder.run_layer(layer, hidden, batch_, {}, true, nullptr);
    decoder.run_final_norm(hidden, batch_, {}, nullptr);
    return decoder.head_rows(0, model.vocabulary).logits(hidden.tensor()).cpu();
  };
  const Tensor expected = logits(at::kCPU);
  const Tensor found = logits(cuda_);
  EXPECT_LT((found - expected).abs().max().item<double>(), 1e-4 * expected.std().item<double>());
}

TEST_F(Cuda, MomentsAgree) {
  const auto expected = moments(at::kCPU);
  const auto found = moments(cuda_);
  ASSERT_EQ(found.size(), expected.size());
  for (const auto& [site, moment] : expected) {
    const auto sum = [](const SiteMoment& m) {
      return std::visit([](const auto& value) { return Tensor(value.sum()).cpu(); }, m);
    };
    EXPECT_LT(difference(sum(found.at(site)), sum(moment)), 1e-5) << site.name();
  }
}

TEST_F(Cuda, DecompositionAgrees) {
  for (const auto& [site, moment] : moments(at::kCPU)) {
    const auto* second = std::get_if<SecondMoment>(&moment);
    if (second == nullptr) continue;
    const Subspace expected = dominant_subspace(*second, 0.9, site.name());
    const SecondMoment copy(MomentSums{.sum = second->sum().to(cuda_),
                                       .mean_sum = second->mean_sum().to(cuda_),
                                       .weight = second->weight(),
                                       .largest_token = second->largest_token(),
                                       .count = second->count()});
    const Subspace found = dominant_subspace(copy, 0.9, site.name());
    ASSERT_EQ(found.rank, expected.rank) << site.name();
    const auto projector = [](const Subspace& subspace) {
      const Tensor u = subspace.directions.cpu();
      return at::mm(u, u.t());
    };
    EXPECT_LT(difference(projector(found), projector(expected)), 1e-5) << site.name();
    EXPECT_LT(difference(found.relative_energies, expected.relative_energies), 1e-9);
  }
}

TEST_F(Cuda, SanitizedWeightsAgree) {
  const auto run = [&](const std::string& device, Method method) {
    const SanitizeOptions options{.base = root_ / "base",
                                  .unlearned = root_ / "unlearned",
                                  .out = root_ / "out",
                                  .retain = {root_ / "retain.jsonl"},
                                  .method = method,
                                  .device = device,
                                  .overwrite = true};
    sanitize(options, nullptr, [](const std::string&) {});
    return testing::read_weights(root_ / "out" / "model.safetensors");
  };
  const auto update =
      testing::combine(1, testing::read_weights(root_ / "unlearned" / "model.safetensors"), -1,
                       testing::read_weights(root_ / "base" / "model.safetensors"));
  for (const Method method : {Method::kSage, Method::kRidge, Method::kRollback}) {
    EXPECT_LT(testing::largest_difference(run("cuda", method), run("cpu", method), update), 1e-5)
        << method_name(method);
  }
}

}  // namespace
}  // namespace sagesan
