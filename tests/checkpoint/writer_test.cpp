#include "sagesan/checkpoint/writer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "helpers/files.h"
#include "helpers/tiny_model.h"
#include "sagesan/checkpoint/companion_files.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;
using testing::snapshot;
using testing::TinyModel;

class CheckpointWriterTest : public ::testing::Test {
 protected:
  CheckpointWriterTest() {
    fs::create_directory(out());
    model_.shards = 2;
  }
  fs::path source() const { return root_ / "source"; }
  fs::path out() const { return root_ / "out"; }
  static OutputLayout as_it_is(const Checkpoint& checkpoint) {
    return layout_output(checkpoint, checkpoint, pair_tensors(checkpoint, checkpoint), {});
  }
  /// The weights' files alone.
  std::map<std::string, std::string> weights(const fs::path& directory) const {
    auto files = snapshot(directory);
    std::erase_if(files, [](const auto& file) { return !file.first.ends_with(".safetensors"); });
    return files;
  }

  testing::TemporaryDirectory root_;
  TinyModel model_;
};

TEST_F(CheckpointWriterTest, CopiedTensorsGiveTheSameBytes) {
  testing::make_base(source(), model_);
  const Checkpoint checkpoint = Checkpoint::open(source());
  CheckpointWriter writer(as_it_is(checkpoint), out());
  auto tensors = checkpoint.tensors();
  std::reverse(tensors.begin(), tensors.end());  // any order
  for (const StoredTensor& tensor : tensors) writer.copy(TensorPart::whole(tensor));
  writer.finish();
  EXPECT_EQ(weights(out()).size(), 2U);
  EXPECT_EQ(weights(out()), weights(source()));
}

TEST_F(CheckpointWriterTest, RewrittenTensorsGiveTheSameBytes) {
  testing::make_base(source(), model_);
  const Checkpoint checkpoint = Checkpoint::open(source());
  CheckpointWriter writer(as_it_is(checkpoint), out());
  for (const StoredTensor& tensor : checkpoint.tensors()) {
    std::vector<std::byte> bytes(tensor.info->bytes);
    tensor.read(0, bytes);
    // In two parts, the second one first.
    const size_t half = bytes.size() / 2 / 4 * 4;
    writer.write(tensor, half / 4, std::span(bytes).subspan(half));
    writer.write(tensor, 0, std::span(bytes).first(half));
  }
  writer.finish();
  EXPECT_EQ(weights(out()), weights(source()));
}

TEST_F(CheckpointWriterTest, UnusualHeadersAreKept) {
  // Metadata, padding, another order in the header than in the data, an empty tensor.
  const std::string bytes = testing::safetensors(
      R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]},"__metadata__":{"x":"y"},)"
      R"("a":{"shape":[2],"dtype":"U8","data_offsets":[0,2]},)"
      R"("e":{"dtype":"F32","shape":[0],"data_offsets":[3,3]}}     )",
      "aab");
  fs::create_directory(source());
  testing::write_file(source() / "model.safetensors", bytes);
  const Checkpoint checkpoint = Checkpoint::open(source());
  CheckpointWriter writer(as_it_is(checkpoint), out());
  for (const StoredTensor& tensor : checkpoint.tensors()) writer.copy(TensorPart::whole(tensor));
  writer.finish();
  EXPECT_EQ(testing::read_file(out() / "model.safetensors"), bytes);
}

TEST_F(CheckpointWriterTest, NewValuesStandWhereTheOldOnesStood) {
  model_.shards = 1;
  testing::make_base(source(), model_);
  const Checkpoint checkpoint = Checkpoint::open(source());
  CheckpointWriter writer(as_it_is(checkpoint), out());
  for (const StoredTensor& tensor : checkpoint.tensors()) {
    if (tensor.info->name == "model.norm.weight") {
      writer.write(tensor, 0, std::vector<std::byte>(tensor.info->bytes, std::byte{7}));
    } else {
      writer.copy(TensorPart::whole(tensor));
    }
  }
  writer.finish();
  std::string expected = testing::read_file(source() / "model.safetensors");
  const TensorInfo& norm = *checkpoint.find("model.norm.weight").info;
  expected.replace(norm.offset, norm.bytes, std::string(norm.bytes, '\x07'));
  EXPECT_EQ(testing::read_file(out() / "model.safetensors"), expected);
}

TEST_F(CheckpointWriterTest, ForgottenTensorIsABug) {
  testing::make_base(source(), model_);
  const Checkpoint checkpoint = Checkpoint::open(source());
  CheckpointWriter writer(as_it_is(checkpoint), out());
  writer.copy(TensorPart::whole(checkpoint.tensors()[0]));
  EXPECT_THROW(writer.finish(), std::logic_error);
}

TEST_F(CheckpointWriterTest, ExistingFileIsNotReplaced) {
  testing::make_base(source(), model_);
  testing::write_file(out() / "model-00001-of-00002.safetensors", "old");
  const Checkpoint checkpoint = Checkpoint::open(source());
  testing::expect_io_error([&] { CheckpointWriter(as_it_is(checkpoint), out()); },
                           (out() / "model-00001-of-00002.safetensors").string(),
                           "cannot create: File exists");
  EXPECT_EQ(testing::read_file(out() / "model-00001-of-00002.safetensors"), "old");
}

TEST_F(CheckpointWriterTest, SourceThatIsCutShortMeanwhile) {
  model_.shards = 1;
  testing::make_base(source(), model_);
  const Checkpoint checkpoint = Checkpoint::open(source());
  CheckpointWriter writer(as_it_is(checkpoint), out());
  fs::resize_file(source() / "model.safetensors", checkpoint.tensors()[0].info->offset + 10);
  testing::expect_input_error([&] { writer.copy(TensorPart::whole(checkpoint.tensors()[0])); },
                              (source() / "model.safetensors").string(), "truncated");
}

class CompanionFiles : public CheckpointWriterTest {
 protected:
  CompanionFiles() {
    fs::create_directory(root_ / "base");
    fs::create_directory(source());
    testing::write_file(source() / "config.json", "unlearned");
    testing::write_file(root_ / "base/config.json", "base");
    testing::write_file(root_ / "base/tokenizer.json", "base");
    testing::write_file(root_ / "base/tokenizer_config.json", "base");
    testing::write_file(root_ / "base/generation_config.json", "base");
  }
  std::map<std::string, std::string> copied() {
    copy_companion_files(source(), root_ / "base", out());
    return snapshot(out());
  }
};

TEST_F(CompanionFiles, TokenizerOfTheBaseWhereTheUnlearnedHasNone) {
  const std::map<std::string, std::string> expected = {{"config.json", "unlearned"},
                                                       {"generation_config.json", "base"},
                                                       {"tokenizer.json", "base"},
                                                       {"tokenizer_config.json", "base"}};
  EXPECT_EQ(copied(), expected);
  // What goes with a tokenizer is none.
  fs::remove_all(out());
  fs::create_directory(out());
  testing::write_file(source() / "special_tokens_map.json", "unlearned");
  EXPECT_EQ(copied(), expected);
}

TEST_F(CompanionFiles, TheConfigurationBesideAnAdapterIsNotTheModels) {
  testing::write_file(source() / "adapter_config.json", "{}");
  EXPECT_EQ(copied()["config.json"], "base");
}

TEST_F(CompanionFiles, TokenizersAreNotMixed) {
  testing::write_file(source() / "tokenizer.json", "unlearned");
  testing::write_file(source() / "model.safetensors", "not copied");
  testing::write_file(source() / "trainer_state.json", "not copied");
  testing::write_file(source() / "generation_config.json", "");
  EXPECT_EQ(copied(), (std::map<std::string, std::string>{{"config.json", "unlearned"},
                                                          {"generation_config.json", ""},
                                                          {"tokenizer.json", "unlearned"}}));
}

}  // namespace
}  // namespace sagesan
