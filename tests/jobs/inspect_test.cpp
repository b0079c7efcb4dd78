// The activation bias against float64 Eigen.
#include "sagesan/jobs/inspect.h"

#include <gtest/gtest.h>

#include "helpers/eigen.h"
#include "helpers/tiny_model.h"
#include "sagesan/activations/moments_file.h"
#include "sagesan/jobs/collect.h"

namespace sagesan {
namespace {

using testing::Matrix;
using testing::TinyModel;
using testing::TinyTensor;

class ActivationBias : public ::testing::Test {
 protected:
  void SetUp() override {
    model_.dtype = DType::kF64;
    testing::make_base(root_ / "base", model_);
    testing::make_unlearned(root_ / "unlearned", model_);
    base_ = testing::base_weights(model_);
    unlearned_ = testing::unlearned_weights(model_);
    // More tokens than channels, so that the file has sums, and fewer than those of down_proj.
    testing::write_file(root_ / "retain.jsonl", testing::tiny_records(2, 20, model_.vocabulary));
    CollectOptions options;
    options.base = root_ / "base";
    options.out = root_ / "m.safetensors";
    options.retain = {root_ / "retain.jsonl"};
    options.device = "cpu";
    collect(options, nullptr, [](const std::string&) {});
    const InspectResult result = inspect({.base = root_ / "base",
                                          .models = {{"u", root_ / "unlearned"}},
                                          .moments = {{"m", root_ / "m.safetensors"}}},
                                         nullptr);
    measured_ = result.moments.at(0);
  }
  static Matrix matrix(const TinyTensor& tensor) {
    const int64_t columns = tensor.shape.back();
    return Eigen::Map<const Matrix>(tensor.values.data(),
                                    static_cast<int64_t>(tensor.values.size()) / columns, columns);
  }
  Matrix base(const std::string& name) { return matrix(testing::tensor_named(base_, name)); }
  Matrix update(const std::string& name) {
    return matrix(testing::tensor_named(unlearned_, name)) - base(name);
  }
  /// S of a site; of norms and embeddings the diagonal.
  Matrix moment(const std::string& site) const {
    const SiteMoment read = MomentsFile(root_ / "m.safetensors").read(site, at::kCPU);
    if (const auto* second = std::get_if<SecondMoment>(&read))
      return testing::to_eigen(second->sum()) / second->weight();
    const auto& diagonal = std::get<DiagonalMoment>(read);
    return testing::to_eigen(diagonal.sum()) / static_cast<double>(diagonal.count());
  }
  static double response(const Matrix& m, const Matrix& s) {
    return (m * s * m.transpose()).trace();
  }
  static double bias(const std::vector<BiasRow>& rows, const std::string& name) {
    for (const BiasRow& row : rows) {
      if (row.name == name) return row.bias(0).value();
    }
    ADD_FAILURE() << "no row " << name;
    return 0;
  }

  testing::TemporaryDirectory root_;
  TinyModel model_;
  testing::TinyWeights base_, unlearned_;
  MomentsBias measured_;
};

TEST_F(ActivationBias, OfLinearModulesAgreesWithEigen) {
  for (const auto& [name, site] : {std::pair("mlp.up_proj", "mlp_input"),
                                   {"mlp.down_proj", "mlp_hidden"},
                                   {"self_attn.o_proj", "attention_output"}}) {
    const std::string tensor = fmt::format("model.layers.1.{}.weight", name);
    const Matrix s = moment(fmt::format("layers.1.{}", site));
    const double expected = response(update(tensor), s) / response(base(tensor), s);
    EXPECT_NEAR(bias(measured_.tensors, tensor), expected, 1e-6 * expected) << tensor;
  }
}

TEST_F(ActivationBias, OfOtherKindsAgreesWithEigen) {
  const std::string embedding = "model.embed_tokens.weight";
  const Matrix p = moment("embedding");
  const auto rows = [&](const Matrix& m) { return p.col(0).dot(m.rowwise().squaredNorm()); };
  double expected = rows(update(embedding)) / rows(base(embedding));
  EXPECT_NEAR(bias(measured_.tensors, embedding), expected, 1e-6 * expected);
  const Matrix n = moment("final_norm");
  const auto gains = [&](const Matrix& m) { return n.col(0).dot(m.row(0).cwiseAbs2()); };
  expected = gains(update("model.norm.weight")) / gains(base("model.norm.weight"));
  EXPECT_NEAR(bias(measured_.tensors, "model.norm.weight"), expected, 1e-6 * expected);
}

TEST_F(ActivationBias, OfASiteAndALayerIsTheRatioOfTheSums) {
  double updates = 0;
  double bases = 0;
  const auto add = [&](const std::string& name, const std::string& site) {
    const std::string tensor = fmt::format("model.layers.0.{}.weight", name);
    const Matrix s = moment("layers.0." + site);
    updates += response(update(tensor), s);
    bases += response(base(tensor), s);
  };
  for (const char* name : {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"})
    add(name, "attention_input");
  EXPECT_NEAR(bias(measured_.sites, "layers.0.attention_input"), updates / bases,
              1e-6 * updates / bases);
  add("self_attn.o_proj", "attention_output");
  add("mlp.gate_proj", "mlp_input");
  add("mlp.up_proj", "mlp_input");
  add("mlp.down_proj", "mlp_hidden");
  ASSERT_EQ(measured_.layers.size(), 2U);
  EXPECT_EQ(measured_.layers[0].layer, 0);
  EXPECT_NEAR(measured_.layers[0].bias(0).value(), updates / bases, 1e-6 * updates / bases);
  EXPECT_EQ(measured_.tokens, 40);
}

}  // namespace
}  // namespace sagesan
