#include "sagesan/checkpoint/update_vector.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "helpers/files.h"
#include "helpers/tiny_model.h"

namespace sagesan {
namespace {

using testing::expect_input_error;
using testing::TinyModel;
using testing::TinyWeights;

class UpdateVectorTest : public ::testing::Test {
 protected:
  Checkpoint write(const std::string& name, const TinyModel& model, const TinyWeights& weights) {
    testing::write_checkpoint(root_ / name, model, weights);
    return Checkpoint::open(root_ / name);
  }
  static std::vector<std::string> changed(const UpdateVector& updates) {
    std::vector<std::string> names;
    for (const Update& update : updates.updates) {
      if (update.changed) names.push_back(update.name);
    }
    return names;
  }

  testing::TemporaryDirectory root_;
  TinyModel model_;
};

TEST_F(UpdateVectorTest, IdenticalCheckpointsHaveNoChange) {
  const Checkpoint base = write("base", model_, base_weights(model_));
  const Checkpoint same = write("same", model_, base_weights(model_));
  const UpdateVector updates = compare(base, same, nullptr);
  EXPECT_EQ(updates.updates.size(), base.tensors().size());
  EXPECT_EQ(updates.changed_count(), 0U);
  EXPECT_EQ(updates.base_identity, updates.unlearned_identity);
}

TEST_F(UpdateVectorTest, OneChangedValueIsFound) {
  TinyWeights weights = base_weights(model_);
  tensor_named(weights, "model.layers.1.mlp.up_proj.weight").values.back() += 0.5;
  const Checkpoint base = write("base", model_, base_weights(model_));
  const Checkpoint unlearned = write("unlearned", model_, weights);
  const UpdateVector updates = compare(base, unlearned, nullptr);
  EXPECT_EQ(changed(updates), std::vector<std::string>{"model.layers.1.mlp.up_proj.weight"});
  EXPECT_EQ(updates.changed_count(), 1U);
  EXPECT_NE(updates.base_identity, updates.unlearned_identity);
}

TEST_F(UpdateVectorTest, ChangePastTheFirstBlockIsFound) {
  model_.vocabulary = 40000;  // 5 MB of embedding: more than one block of 4 MiB
  TinyWeights weights = base_weights(model_);
  tensor_named(weights, "model.embed_tokens.weight").values.back() += 0.5;
  const Checkpoint base = write("base", model_, base_weights(model_));
  const Checkpoint unlearned = write("unlearned", model_, weights);
  EXPECT_EQ(changed(compare(base, unlearned, nullptr)),
            std::vector<std::string>{"model.embed_tokens.weight"});
}

TEST_F(UpdateVectorTest, NegativeZeroIsAChange) {
  TinyWeights weights = base_weights(model_);
  tensor_named(weights, "model.norm.weight").values[0] = 0.0;
  const Checkpoint base = write("base", model_, weights);
  tensor_named(weights, "model.norm.weight").values[0] = -0.0;
  const Checkpoint unlearned = write("unlearned", model_, weights);
  EXPECT_EQ(changed(compare(base, unlearned, nullptr)),
            std::vector<std::string>{"model.norm.weight"});
}

TEST_F(UpdateVectorTest, AnotherDTypeIsAChange) {
  TinyModel narrow = model_;
  narrow.dtype = DType::kBF16;
  const Checkpoint base = write("base", model_, base_weights(model_));
  const Checkpoint unlearned = write("unlearned", narrow, base_weights(model_));
  const UpdateVector updates = compare(base, unlearned, nullptr);
  EXPECT_EQ(updates.changed_count(), updates.updates.size());
  EXPECT_NE(updates.base_identity, updates.unlearned_identity);
}

TEST_F(UpdateVectorTest, EqualBytesOfAnotherDTypeAreAChange) {
  const std::string data(4, '\0');
  const auto put = [&](const char* name, const char* dtype) {
    std::filesystem::create_directory(root_ / name);
    testing::write_file(root_ / name / "model.safetensors",
                        testing::safetensors(std::string(R"({"t":{"dtype":")") + dtype +
                                                 R"(","shape":[1],"data_offsets":[0,4]}})",
                                             data));
    return Checkpoint::open(root_ / name);
  };
  const Checkpoint base = put("base", "F32");
  const Checkpoint unlearned = put("unlearned", "I32");
  const UpdateVector updates = compare(base, unlearned, nullptr);
  EXPECT_EQ(updates.changed_count(), 1U);
  EXPECT_NE(updates.base_identity, updates.unlearned_identity);
}

TEST_F(UpdateVectorTest, IdentityDoesNotDependOnTheShardLayout) {
  TinyModel sharded = model_;
  sharded.shards = 3;
  const Checkpoint one = write("one", model_, base_weights(model_));
  const Checkpoint three = write("three", sharded, base_weights(model_));
  ASSERT_EQ(three.shards().size(), 3U);
  const UpdateVector updates = compare(one, three, nullptr);
  EXPECT_EQ(updates.changed_count(), 0U);
  EXPECT_EQ(updates.base_identity, updates.unlearned_identity);
  EXPECT_EQ(updates.base_identity.size(), 32U);
  // The order is the unlearned checkpoint's.
  EXPECT_EQ(updates.updates[1].name, three.tensors()[1].info->name);
}

TEST_F(UpdateVectorTest, AnotherShapeNamesTensorAndBothShapes) {
  TinyModel other = model_;
  other.vocabulary = 65;
  const Checkpoint base = write("base", model_, base_weights(model_));
  const Checkpoint unlearned = write("unlearned", other, base_weights(other));
  expect_input_error([&] { pair_tensors(base, unlearned); },
                     (root_ / "unlearned/model.safetensors").string(),
                     "tensor 'model.embed_tokens.weight': shape [65, 32], in the base [64, 32]: "
                     "base and unlearned must be the same model");
}

TEST_F(UpdateVectorTest, TensorThatTheBaseLacksIsNamed) {
  TinyModel longer = model_;
  longer.layers = 3;
  const Checkpoint small = write("small", model_, base_weights(model_));
  const Checkpoint large = write("large", longer, base_weights(longer));
  expect_input_error([&] { pair_tensors(small, large); },
                     (root_ / "large/model.safetensors").string(),
                     "tensor 'model.layers.2.input_layernorm.weight': not in the base checkpoint " +
                         (root_ / "small").string());
}

TEST_F(UpdateVectorTest, ProgressReachesTheEndAndMayInterrupt) {
  const Checkpoint base = write("base", model_, base_weights(model_));
  const Checkpoint unlearned = write("unlearned", model_, unlearned_weights(model_));
  for (const int threads : {1, 3}) {
    double share = 0;
    const auto progress = [&](std::string_view stage, double done, double total) {
      EXPECT_EQ(stage, "compare");
      EXPECT_GE(done / total, share);
      share = done / total;
    };
    compare(base, unlearned, progress, {}, threads);
    EXPECT_EQ(share, 1.0);
    const auto interrupt = [](std::string_view, double, double) { throw Interrupted(); };
    EXPECT_THROW(compare(base, unlearned, interrupt, {}, threads), Interrupted);
  }
}

TEST_F(UpdateVectorTest, ThreadsChangeNothing) {
  model_.layers = 6;
  const Checkpoint base = write("base", model_, base_weights(model_));
  const Checkpoint unlearned = write("unlearned", model_, unlearned_weights(model_));
  const UpdateVector alone = compare(base, unlearned, nullptr);
  const UpdateVector together = compare(base, unlearned, nullptr, {}, 4);
  EXPECT_EQ(together.base_identity, alone.base_identity);
  EXPECT_EQ(together.unlearned_identity, alone.unlearned_identity);
  EXPECT_EQ(changed(together), changed(alone));
  EXPECT_EQ(checkpoint_identity(base, nullptr, 4), alone.base_identity);
}

/// In any tensor, changed or not, and whichever thread reads it.
TEST_F(UpdateVectorTest, ValuesThatAreNotFiniteAreNamed) {
  const std::string name = "model.layers.1.mlp.up_proj.weight";
  const Checkpoint sound = write("sound", model_, base_weights(model_));
  for (const double value : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    TinyWeights weights = base_weights(model_);
    tensor_named(weights, name).values.back() = value;
    const Checkpoint broken = write("broken", model_, weights);
    for (const int threads : {1, 4}) {
      const auto refuse = [&](const auto& action) {
        expect_input_error(action, (root_ / "broken/model.safetensors").string(),
                           "tensor '" + name + "': holds NaN or infinity");
      };
      refuse([&] { compare(broken, broken, nullptr, {}, threads); });
      refuse([&] { compare(broken, sound, nullptr, {}, threads); });
      refuse([&] { compare(sound, broken, nullptr, {}, threads); });
      refuse([&] { checkpoint_identity(broken, nullptr, threads); });
    }
  }
}

TEST_F(UpdateVectorTest, BuffersMayHoldInfinities) {
  const auto put = [&](const char* name) {
    std::filesystem::create_directory(root_ / name);
    testing::write_file(
        root_ / name / "model.safetensors",
        testing::safetensors(R"({"h.0.attn.bias":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                             R"("w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                             std::string("\0\0\x80\xFF\0\0\x80\x3F", 8)));  // -infinity, 1
    return Checkpoint::open(root_ / name);
  };
  EXPECT_EQ(compare(put("one"), put("other"), nullptr).changed_count(), 0U);
}

}  // namespace
}  // namespace sagesan
