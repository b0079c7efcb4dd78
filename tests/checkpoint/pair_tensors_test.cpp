#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "helpers/files.h"
#include "sagesan/checkpoint/safetensors_writer.h"
#include "sagesan/checkpoint/update_vector.h"

namespace sagesan {
namespace {

using testing::expect_input_error;

/// A tensor by name with a number for every element.
struct Values {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<float> values;
};

/// 0, 1, 2, ... from `first` on.
Values count(const std::string& name, const std::vector<int64_t>& shape, float first = 0) {
  Values tensor{name, shape, {}};
  int64_t size = 1;
  for (const int64_t length : shape) size *= length;
  tensor.values.resize(static_cast<size_t>(size));
  std::iota(tensor.values.begin(), tensor.values.end(), first);
  return tensor;
}

class PairTensors : public ::testing::Test {
 protected:
  Checkpoint write(const std::string& name, const std::vector<Values>& tensors) {
    std::filesystem::remove_all(root_ / name);
    std::filesystem::create_directory(root_ / name);
    std::vector<TensorBytes> bytes;
    for (const Values& tensor : tensors)
      bytes.push_back(
          {tensor.name, DType::kF32, tensor.shape, std::as_bytes(std::span(tensor.values))});
    write_safetensors(root_ / name / "model.safetensors", bytes);
    return Checkpoint::open(root_ / name);
  }
  static std::vector<float> read(const StoredTensor& tensor, uint64_t start = 0,
                                 std::optional<uint64_t> elements = {}) {
    std::vector<float> values(elements.value_or(tensor.info->bytes / 4));
    tensor.read(start * 4, std::as_writable_bytes(std::span(values)));
    return values;
  }
  static std::vector<std::string> names(const std::vector<StoredTensor>& tensors) {
    std::vector<std::string> result;
    for (const StoredTensor& tensor : tensors) result.push_back(tensor.info->name);
    return result;
  }
  std::string path(const std::string& name) const {
    return (root_ / name / "model.safetensors").string();
  }

  testing::TemporaryDirectory root_;
};

using Names = std::vector<std::string>;

/// The routes of an adapter (`MergedAdapters`).
TEST_F(PairTensors, RowsThatAreComputedSeveralTimes) {
  const Checkpoint base = write("base", {count("q.weight", {2, 3}), count("k.weight", {2, 3})});
  const Checkpoint stored = write("stored", {count("q.weight", {6, 3}, 100)});
  const auto compute = [&] {
    const StoredTensor tensor = stored.find("q.weight");
    return Checkpoint::compute(
        root_ / "stored",
        std::make_unique<ArrangedTensors>(
            path("stored"),
            std::vector<ArrangedTensors::Arranged>{
                {"q.weight", tensor.info->shape, {TensorPart::whole(tensor)}}}),
        {path("stored")});
  };
  const Checkpoint computed = compute();
  const UpdateVector updates = compare(base, computed, nullptr);
  ASSERT_EQ(updates.updates.size(), 1U);
  const Update& update = updates.updates[0];
  EXPECT_TRUE(update.changed && update.is_computed && !update.grown);
  EXPECT_EQ(update.base.info->shape, (std::vector<int64_t>{6, 3}));
  EXPECT_EQ(read(update.base),
            (std::vector<float>{0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(read(update.base, 5, 3), (std::vector<float>{5, 0, 1}));
  EXPECT_EQ(read(update.unlearned)[17], 117);
  EXPECT_EQ(updates.base_identity, checkpoint_identity(base, nullptr));
  // What is stored so is another model.
  expect_input_error([&] { pair_tensors(base, stored); }, path("stored"),
                     "shape [6, 3], in the base [2, 3]");
}

TEST_F(PairTensors, WhatTheUnlearnedLacksIsTheBases) {
  const Checkpoint base = write("base", {count("a", {2}), count("b", {2}), count("c", {2})});
  const Checkpoint unlearned = write("unlearned", {count("b", {2}, 5)});
  const UpdateVector updates = compare(base, unlearned, nullptr);
  ASSERT_EQ(updates.updates.size(), 1U);
  EXPECT_EQ(updates.updates[0].name, "b");
  EXPECT_TRUE(updates.updates[0].changed);
  EXPECT_EQ(names(updates.only_base), (Names{"a", "c"}));
  // The identities are those of all that each of them has.
  EXPECT_EQ(updates.base_identity, checkpoint_identity(base, nullptr));
  EXPECT_EQ(updates.unlearned_identity, checkpoint_identity(unlearned, nullptr));
}

TEST_F(PairTensors, NothingInCommon) {
  const Checkpoint base = write("base", {count("a", {2})});
  const Checkpoint unlearned = write("unlearned", {count("x.inv_freq", {2})});
  expect_input_error([&] { pair_tensors(base, unlearned); }, (root_ / "unlearned").string(),
                     "holds no tensor of the base");
}

TEST_F(PairTensors, WrappersAroundTheNamesAreSeenThrough) {
  const Checkpoint base = write("base", {count("model.layers.0.q.weight", {2})});
  for (const char* name : {"layers.0.q.weight", "module.model.layers.0.q.weight",
                           "_orig_mod.model.layers.0.q.weight"}) {
    const Checkpoint unlearned = write("unlearned", {count(name, {2}, 1)});
    const UpdateVector updates = compare(base, unlearned, nullptr);
    ASSERT_EQ(updates.updates.size(), 1U) << name;
    EXPECT_EQ(updates.updates[0].name, "model.layers.0.q.weight");
    EXPECT_EQ(updates.updates[0].unlearned.info->name, name);
    EXPECT_TRUE(updates.only_base.empty());
  }
  const Checkpoint twice =
      write("twice", {count("layers.0.q.weight", {2}), count("model.layers.0.q.weight", {2})});
  expect_input_error([&] { pair_tensors(base, twice); }, path("twice"),
                     "the base has one tensor for this and another");
}

TEST_F(PairTensors, BuffersAreNoParameters) {
  const Checkpoint base = write("base", {count("a", {2}), count("h.0.attn.masked_bias", {1})});
  const Checkpoint unlearned =
      write("unlearned", {count("a", {2}), count("l.0.rotary_emb.inv_freq", {4})});
  const UpdateVector updates = pair_tensors(base, unlearned);
  ASSERT_EQ(updates.verbatim.size(), 1U);
  EXPECT_EQ(updates.verbatim[0].tensor.info->name, "l.0.rotary_emb.inv_freq");
  EXPECT_EQ(updates.verbatim[0].count, 4U);
  EXPECT_TRUE(updates.only_base.empty());
}

TEST_F(PairTensors, BuffersAndTiedHeadsOfABaseThatLendsItsRest) {
  const PairHints tied{.embedding = "embed.weight", .head = "head.weight"};
  const Checkpoint base =
      write("base", {count("a", {2}), count("b", {2}), count("embed.weight", {2, 2}),
                     count("head.weight", {2, 2}), count("h.0.attn.masked_bias", {1})});
  const Checkpoint unlearned = write("unlearned", {count("a", {2}, 1)});
  UpdateVector updates = pair_tensors(base, unlearned, tied);
  EXPECT_EQ(names(updates.only_base),
            (Names{"b", "embed.weight", "head.weight", "h.0.attn.masked_bias"}));
  EXPECT_TRUE(updates.tied_copies.empty());
  const Checkpoint more = write("more", {count("embed.weight", {2, 2}, 1)});
  updates = pair_tensors(base, more, tied);
  EXPECT_EQ(names(updates.only_base), (Names{"a", "b", "h.0.attn.masked_bias"}));
  EXPECT_EQ(names(updates.tied_copies), Names{"head.weight"});
}

TEST_F(PairTensors, NewTokensHaveNoBase) {
  const Checkpoint base = write("base", {count("embed", {3, 2})});
  const Checkpoint unlearned = write("unlearned", {count("embed", {5, 2})});
  const UpdateVector updates = compare(base, unlearned, nullptr, {.vocabulary = {"embed"}});
  const Update& update = updates.updates.at(0);
  EXPECT_FALSE(update.changed);  // the rows that both have
  EXPECT_EQ(update.unlearned.info->shape, (std::vector<int64_t>{3, 2}));
  EXPECT_EQ(read(update.unlearned), read(update.base));
  EXPECT_EQ(update.grown.info->shape, (std::vector<int64_t>{5, 2}));
  ASSERT_EQ(updates.verbatim.size(), 1U);
  EXPECT_EQ(updates.verbatim[0].start, 6U);
  EXPECT_EQ(updates.verbatim[0].count, 4U);
  expect_input_error([&] { pair_tensors(base, unlearned); }, path("unlearned"),
                     "tensor 'embed': shape [5, 2], in the base [3, 2]");
  const Checkpoint wider = write("wider", {count("embed", {5, 3})});
  expect_input_error([&] { pair_tensors(base, wider, {.vocabulary = {"embed"}}); }, path("wider"),
                     "tensor 'embed': shape [5, 3], in the base [3, 2]");
}

TEST_F(PairTensors, RowsOfAPaddedBaseThatNobodyHas) {
  const Checkpoint base = write("base", {count("embed", {5, 2})});
  const Checkpoint unlearned = write("unlearned", {count("embed", {3, 2}, 1)});
  const UpdateVector updates = compare(base, unlearned, nullptr, {.vocabulary = {"embed"}});
  EXPECT_EQ(updates.updates[0].base.info->shape, (std::vector<int64_t>{3, 2}));
  EXPECT_EQ(read(updates.updates[0].base), (std::vector<float>{0, 1, 2, 3, 4, 5}));
  EXPECT_TRUE(updates.verbatim.empty());
  EXPECT_EQ(updates.base_identity, checkpoint_identity(base, nullptr));
}

TEST_F(PairTensors, TiedHead) {
  const PairHints tied{.embedding = "embed.weight", .head = "head.weight"};
  const Checkpoint base = write("base", {count("embed.weight", {2, 2})});
  const Checkpoint both =
      write("both", {count("head.weight", {2, 2}, 1), count("embed.weight", {2, 2}, 1)});
  UpdateVector updates = pair_tensors(base, both, tied);
  ASSERT_EQ(updates.updates.size(), 1U);
  EXPECT_EQ(updates.updates[0].name, "embed.weight");
  EXPECT_EQ(names(updates.tied_copies), Names{"head.weight"});

  PairHints untied = tied;
  untied.untied = true;
  updates = compare(base, both, nullptr, untied);
  ASSERT_EQ(updates.updates.size(), 2U);
  const Update& head = *updates.find("head.weight");
  EXPECT_EQ(head.base.info->name, "embed.weight");
  EXPECT_TRUE(head.changed);
  EXPECT_TRUE(updates.tied_copies.empty());
  EXPECT_EQ(updates.base_identity, checkpoint_identity(base, nullptr));

  // Some writers keep the head of the two.
  const Checkpoint head_alone = write("head", {count("head.weight", {2, 2}, 1)});
  updates = pair_tensors(base, head_alone, tied);
  ASSERT_EQ(updates.updates.size(), 1U);
  EXPECT_EQ(updates.updates[0].name, "embed.weight");
  EXPECT_TRUE(updates.only_base.empty());
}

/// Two experts of a layer, hidden size 2, intermediate size 3; Mixtral's names or the others'.
std::vector<Values> one_by_one(bool mixtral, float first = 0) {
  std::vector<Values> tensors;
  for (const char* expert : {"0", "1"}) {
    const std::string prefix = std::string(mixtral ? "model.layers.0.block_sparse_moe.experts."
                                                   : "model.layers.0.mlp.experts.") +
                               expert;
    const auto add = [&](const char* plain, const char* named, const std::vector<int64_t>& shape) {
      tensors.push_back(count(prefix + (mixtral ? named : plain) + ".weight", shape, first));
      first += 6;
    };
    add(".gate_proj", ".w1", {3, 2});
    add(".up_proj", ".w3", {3, 2});
    add(".down_proj", ".w2", {2, 3});
  }
  return tensors;
}

std::vector<Values> fused() {
  // gate 0-5, up 6-11 of expert 0; gate 18-23, up 24-29 of expert 1.
  Values gate_up = count("model.layers.0.mlp.experts.gate_up_proj", {2, 6, 2});
  for (size_t i = 12; i < 24; ++i) gate_up.values[i] += 6;
  Values down = count("model.layers.0.mlp.experts.down_proj", {2, 2, 3}, 12);
  for (size_t i = 6; i < 12; ++i) down.values[i] += 12;
  return {gate_up, down};
}

TEST_F(PairTensors, FusedExpertsOfABaseThatHasThemOneByOne) {
  const Checkpoint unlearned = write("unlearned", fused());
  for (const bool mixtral : {true, false}) {
    const std::vector<Values> tensors = one_by_one(mixtral);
    const Checkpoint base = write("base", tensors);
    const UpdateVector updates = compare(base, unlearned, nullptr);
    EXPECT_EQ(updates.updates.size(), 6U);
    EXPECT_EQ(updates.changed_count(), 0U);
    EXPECT_TRUE(updates.only_base.empty());
    for (const Values& tensor : tensors) {
      const Update* update = updates.find(tensor.name);
      ASSERT_NE(update, nullptr) << tensor.name;
      EXPECT_EQ(update->unlearned.info->shape, tensor.shape);
      EXPECT_EQ(read(update->unlearned), tensor.values) << tensor.name;
    }
    EXPECT_EQ(updates.unlearned_identity, checkpoint_identity(unlearned, nullptr));
  }
}

TEST_F(PairTensors, ExpertsOneByOneOfABaseThatHasThemFused) {
  const Checkpoint base = write("base", fused());
  for (const bool mixtral : {true, false}) {
    const Checkpoint unlearned = write("unlearned", one_by_one(mixtral));
    const UpdateVector updates = compare(base, unlearned, nullptr);
    EXPECT_EQ(updates.updates.size(), 2U);
    EXPECT_EQ(updates.changed_count(), 0U);
    for (const Values& tensor : fused()) {
      const StoredTensor& arranged = updates.find(tensor.name)->unlearned;
      EXPECT_EQ(read(arranged), tensor.values);
      for (uint64_t start = 0; start < tensor.values.size(); ++start) {
        for (uint64_t size = 1; start + size <= tensor.values.size(); ++size) {
          EXPECT_EQ(read(arranged, start, size),
                    std::vector(tensor.values.begin() + static_cast<int64_t>(start),
                                tensor.values.begin() + static_cast<int64_t>(start + size)));
        }
      }
    }
  }
}

TEST_F(PairTensors, SomeExpertsAlone) {
  const Checkpoint base = write("base", fused());
  std::vector<Values> some = one_by_one(false, 100);
  some.erase(some.begin(), some.begin() + 4);  // up and down of expert 1 are left
  const Checkpoint unlearned = write("unlearned", some);
  const UpdateVector updates = compare(base, unlearned, nullptr);
  const std::vector<float> values =
      read(updates.find("model.layers.0.mlp.experts.gate_up_proj")->unlearned);
  std::vector<float> expected = fused()[0].values;
  std::copy(some[0].values.begin(), some[0].values.end(), expected.begin() + 18);
  EXPECT_EQ(values, expected);
  EXPECT_EQ(updates.changed_count(), 2U);
}

TEST_F(PairTensors, ExpertsOfAnotherModel) {
  const Checkpoint base = write("base", fused());
  std::vector<Values> wrong = one_by_one(true);
  wrong[2].shape = {3, 2};
  const Checkpoint shape = write("shape", wrong);
  expect_input_error([&] { pair_tensors(base, shape); }, path("shape"),
                     "experts.0.w2.weight': shape [3, 2], in the base [2, 3]");
  wrong = one_by_one(false);
  wrong[5].name = "model.layers.0.mlp.experts.2.down_proj.weight";
  const Checkpoint more = write("more", wrong);
  expect_input_error([&] { pair_tensors(base, more); }, path("more"),
                     "experts.2.down_proj.weight': shape [2, 3], in the base [2, 2, 3]");
  std::vector<Values> three = fused();
  three[1] = count("model.layers.0.mlp.experts.down_proj", {3, 2, 3});
  const Checkpoint many = write("many", three);
  const Checkpoint single = write("single", one_by_one(false));
  expect_input_error([&] { pair_tensors(single, many); }, path("many"),
                     "shape [3, 2, 3], in the base");
}

// Of tensors without elements a header of some bytes can claim 2^50 experts.
TEST_F(PairTensors, ExpertsWithoutElements) {
  const std::string one = "model.layers.0.mlp.experts.0.";
  const std::string all = "model.layers.0.mlp.experts.";
  constexpr int64_t kMany = int64_t{1} << 50;
  const auto refuse = [&](const std::vector<Values>& base, const std::vector<Values>& unlearned) {
    const Checkpoint first = write("base", base);
    const Checkpoint second = write("unlearned", unlearned);
    expect_input_error([&] { pair_tensors(first, second); }, path("unlearned"), "shape [");
  };
  refuse({count(all + "gate_up_proj", {kMany, 2, 0})}, {count(one + "gate_proj.weight", {1, 0})});
  refuse({count(all + "down_proj", {kMany, 0, 3})}, {count(one + "down_proj.weight", {0, 3})});
  refuse({count(one + "down_proj.weight", {0, 3})}, {count(all + "down_proj", {1, 0, 3})});
}

TEST_F(PairTensors, NothingIsGivenTwice) {
  const std::string twice = "the base has one tensor for this and another";
  const auto refuse = [&](const std::vector<Values>& base, const std::vector<Values>& unlearned,
                          const std::string& reason) {
    const Checkpoint first = write("base", base);
    const Checkpoint second = write("unlearned", unlearned);
    expect_input_error([&] { pair_tensors(first, second); }, path("unlearned"), reason);
  };
  // One expert under two prefixes beside a fused base.
  std::vector<Values> tensors = one_by_one(false);
  tensors.push_back(count("layers.0.mlp.experts.1.gate_proj.weight", {3, 2}));
  refuse(fused(), tensors, twice);
  // Fused and one by one at once, fused twice.
  tensors = one_by_one(false);
  for (const Values& tensor : fused()) tensors.push_back(tensor);
  refuse(one_by_one(false), tensors, twice);
  tensors = fused();
  tensors.push_back(count("layers.0.mlp.experts.gate_up_proj", {2, 6, 2}));
  refuse(one_by_one(false), tensors, twice);
  // 01 is no number of an expert, and neither is what no model has.
  for (const char* expert : {"01", "9223372036854775807", "1048576"}) {
    tensors = one_by_one(false);
    tensors.push_back(
        count(std::string("model.layers.0.mlp.experts.") + expert + ".gate_proj.weight", {3, 2}));
    refuse(fused(), tensors, "not in the base checkpoint");
  }
}

TEST_F(PairTensors, NumbersOfExpertsWithAGap) {
  std::vector<Values> tensors = one_by_one(false);
  for (Values& tensor : tensors) {
    const size_t at = tensor.name.find("experts.1.");
    if (at != std::string::npos) tensor.name.replace(at, 10, "experts.9.");
  }
  const Checkpoint base = write("base", tensors);
  const Checkpoint unlearned = write("unlearned", fused());
  expect_input_error([&] { pair_tensors(base, unlearned); }, path("unlearned"), "shape [2, 6, 2]");
}

}  // namespace
}  // namespace sagesan
