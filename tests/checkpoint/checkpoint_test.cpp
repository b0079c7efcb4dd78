#include "sagesan/checkpoint/checkpoint.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "helpers/files.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;
using testing::expect_input_error;
using testing::safetensors;
using testing::write_file;

/// A file with one-byte tensors of these names.
std::string shard(const std::vector<std::string>& names) {
  std::string header;
  for (size_t i = 0; i < names.size(); ++i) {
    header += (i == 0 ? "" : ",") + ("\"" + names[i]) + R"(":{"dtype":"U8","shape":[1],)" +
              "\"data_offsets\":[" + std::to_string(i) + "," + std::to_string(i + 1) + "]}";
  }
  return safetensors("{" + header + "}", std::string(names.size(), 'd'));
}

class CheckpointTest : public ::testing::Test {
 protected:
  void put(const std::string& name, const std::string& content) {
    write_file(root_ / name, content);
  }
  void put_index(const std::string& weight_map) {
    put("model.safetensors.index.json", R"({"metadata":{},"weight_map":)" + weight_map + "}");
  }
  std::string index() const { return (root_ / "model.safetensors.index.json").string(); }
  void refuse(const std::string& where, const std::string& fragment) {
    expect_input_error([&] { Checkpoint::open(root_.path()); }, where, fragment);
  }

  testing::TemporaryDirectory root_;
};

TEST_F(CheckpointTest, SingleFile) {
  put("model.safetensors", shard({"b", "a"}));
  const Checkpoint checkpoint = Checkpoint::open(root_.path());
  ASSERT_EQ(checkpoint.shards().size(), 1U);
  ASSERT_EQ(checkpoint.tensors().size(), 2U);
  EXPECT_EQ(checkpoint.tensors()[0].info->name, "b");
  ASSERT_TRUE(checkpoint.find("a"));
  EXPECT_EQ(checkpoint.find("a").where(), (root_ / "model.safetensors").string() + ": tensor 'a'");
  EXPECT_FALSE(checkpoint.find("c"));
  EXPECT_EQ(total_bytes(checkpoint.tensors()), 2U);
}

TEST_F(CheckpointTest, QuantizedOnesAreRefusedByName) {
  const std::string module = "model.layers.0.mlp.down_proj";
  const std::map<std::vector<std::string>, std::string> cases = {
      {{".weight", ".weight.absmax", ".weight.quant_map"}, "bitsandbytes"},
      {{".weight", ".weight.quant_state.bitsandbytes__nf4"}, "bitsandbytes"},
      {{".weight", ".SCB"}, "bitsandbytes"},
      {{".qweight", ".qzeros", ".scales", ".g_idx"}, "GPTQ"},
      {{".qweight", ".qzeros", ".scales"}, "AWQ"},
      {{".W_q", ".meta"}, "HQQ"},
      {{".weight_packed", ".weight_shape"}, "compressed-tensors"},
      {{"_blocks", "_scales"}, "MXFP4"},
      {{".weight", ".weight_scale_inv"}, "8-bit floats and scales"},
      {{".weight", ".weight_scale"}, "8-bit numbers and scales"}};
  for (const auto& [endings, quantizer] : cases) {
    std::vector<std::string> names = {"model.norm.weight"};
    for (const std::string& ending : endings) names.push_back(module + ending);
    put("model.safetensors", shard(names));
    refuse((root_ / "model.safetensors").string() + ": tensor '" + module,
           "quantized with " + quantizer + ": such numbers are no weights");
  }
}

TEST_F(CheckpointTest, Shards) {
  put("model-1.safetensors", shard({"a", "b"}));
  put("model-2.safetensors", shard({"c"}));
  put("unlisted.safetensors", "not read");
  put_index(R"({"c":"model-2.safetensors","a":"model-1.safetensors","b":"model-1.safetensors"})");
  const Checkpoint checkpoint = Checkpoint::open(root_.path());
  ASSERT_EQ(checkpoint.shards().size(), 2U);
  ASSERT_EQ(checkpoint.tensors().size(), 3U);
  EXPECT_EQ(checkpoint.tensors()[2].info->name, "c");
  EXPECT_EQ(checkpoint.find("c").file->path().filename(), "model-2.safetensors");
}

TEST_F(CheckpointTest, LinksAsInTheHubCacheAreFollowed) {
  const fs::path snapshot = root_ / "models--org--name/snapshots/0a1b",
                 blobs = root_ / "models--org--name/blobs";
  fs::create_directories(snapshot);
  fs::create_directories(blobs);
  write_file(blobs / "0123", shard({"a"}));
  fs::create_symlink("../../blobs/0123", snapshot / "model.safetensors");
  EXPECT_TRUE(Checkpoint::open(snapshot).find("a"));
  // Through a link to the directory, and from a folder beside the cache.
  fs::create_directory_symlink(snapshot, root_ / "link");
  EXPECT_TRUE(Checkpoint::open(root_ / "link").find("a"));
  fs::create_directory(root_ / "local");
  fs::create_symlink(blobs / "0123", root_ / "local/model.safetensors");
  EXPECT_TRUE(Checkpoint::open(root_ / "local").find("a"));
}

TEST_F(CheckpointTest, LinksInsideTheDirectoryAreFollowed) {
  put("weights", shard({"a"}));
  fs::create_symlink("weights", root_ / "model.safetensors");
  fs::create_symlink("nowhere", root_ / "dangling");
  EXPECT_TRUE(Checkpoint::open(root_.path()).find("a"));
}

TEST_F(CheckpointTest, LinksThatLeadOutAreRefused) {
  const testing::TemporaryDirectory elsewhere;
  fs::create_directory(elsewhere / "blobs");
  put("model.safetensors", shard({"a"}));
  for (const char* name : {"secret", "blobs/0123"}) {
    write_file(elsewhere / name, "mine");
    fs::create_symlink(elsewhere / name, root_ / "tokenizer.json");
    expect_input_error([&] { Checkpoint::open(root_.path()); }, (root_ / "tokenizer.json").string(),
                       "is a link that leads out of its directory, to '" +
                           (elsewhere / name).string() + "'; put the file itself there");
    fs::remove(root_ / "tokenizer.json");
  }
}

TEST_F(CheckpointTest, PathThatIsNone) {
  expect_input_error([&] { Checkpoint::open(root_ / "missing"); }, (root_ / "missing").string(),
                     "no such directory");
}

TEST_F(CheckpointTest, OneFileOfAnyName) {
  put("edited.safetensors", shard({"a"}));
  put("config.json", "{}");
  for (const fs::path& path : {root_.path(), root_ / "edited.safetensors"}) {
    const Checkpoint checkpoint = Checkpoint::open(path);
    EXPECT_TRUE(checkpoint.find("a"));
    EXPECT_EQ(checkpoint.path(), path);
  }
  put("more.pth", "");
  refuse(root_.path().string(),
         "but 2 others (edited.safetensors, ...): name the one that is meant");
}

TEST_F(CheckpointTest, WithoutWeights) {
  refuse(root_.path().string(), "no model.safetensors or model.safetensors.index.json");
}

TEST_F(CheckpointTest, AdapterIsNoModel) {
  put("adapter_config.json", "");
  refuse(root_.path().string(), "is a PEFT adapter; expected the whole model");
}

TEST_F(CheckpointTest, SingleFileAndIndexTogether) {
  put("model.safetensors", shard({"a"}));
  put_index(R"({"a":"model.safetensors"})");
  refuse(root_.path().string(),
         "holds both model.safetensors and model.safetensors.index.json: remove the stale one");
}

TEST_F(CheckpointTest, IndexThatEscapesTheDirectory) {
  for (const char* file : {"../model.safetensors", "/etc/passwd", "sub/model.safetensors", "..",
                           ".", "", "a\\u0000b"}) {
    put_index(std::string(R"({"a":")") + file + "\"}");
    refuse(index(), "is no file name inside the directory");
  }
}

TEST_F(CheckpointTest, MissingShard) {
  put_index(R"({"a":"model-1.safetensors"})");
  refuse((root_ / "model-1.safetensors").string(), "no such file");
}

TEST_F(CheckpointTest, ShardNamesAreEscapedInMessages) {
  put_index(R"({"a":"x\n\u001b[31mred.safetensors"})");
  refuse(root_.path().string(), "no such file");
}

TEST_F(CheckpointTest, ShardThatIsADirectory) {
  fs::create_directory(root_ / "model-1.safetensors");
  put_index(R"({"a":"model-1.safetensors"})");
  refuse((root_ / "model-1.safetensors").string(), "is a directory, expected a file");
}

TEST_F(CheckpointTest, TensorInTwoShards) {
  put("model-1.safetensors", shard({"a", "b"}));
  put("model-2.safetensors", shard({"b"}));
  put_index(R"({"a":"model-1.safetensors","b":"model-2.safetensors"})");
  refuse((root_ / "model-2.safetensors").string(),
         "tensor 'b' stands in " + (root_ / "model-1.safetensors").string() + " too");
}

TEST_F(CheckpointTest, TensorInNoShard) {
  put("model-1.safetensors", shard({"a"}));
  put_index(R"({"a":"model-1.safetensors","b":"model-1.safetensors"})");
  refuse(index(), "tensor 'b' is not in 'model-1.safetensors'");
}

TEST_F(CheckpointTest, TensorInAnotherShard) {
  put("model-1.safetensors", shard({"a"}));
  put("model-2.safetensors", shard({"b", "c"}));
  put_index(R"({"a":"model-1.safetensors","b":"model-1.safetensors","c":"model-2.safetensors"})");
  refuse(index(), "tensor 'b' is not in 'model-1.safetensors'");
}

TEST_F(CheckpointTest, TensorThatIsNotListed) {
  put("model-1.safetensors", shard({"a", "b"}));
  put_index(R"({"a":"model-1.safetensors"})");
  refuse((root_ / "model-1.safetensors").string(),
         "tensor 'b': not listed in model.safetensors.index.json");
}

TEST_F(CheckpointTest, IndexOfWrongTypes) {
  put("model.safetensors.index.json", "[]");
  refuse(index(), "expected a JSON object, found array");
  put("model.safetensors.index.json", "{}");
  refuse(index(), "key 'weight_map': missing");
  put_index("[]");
  refuse(index(), "key 'weight_map': expected tensor names and files");
  put_index("{}");
  refuse(index(), "key 'weight_map': expected tensor names and files");
  put_index(R"({"a":1})");
  refuse(index(), "key 'weight_map': 'a': expected a file name");
  put_index(R"({"a":null})");
  refuse(index(), "key 'weight_map': 'a': expected a file name");
  put_index(R"({"a":"x","a":"x"})");
  refuse(index(), "the key 'a' stands twice in one object");
  put("model.safetensors.index.json", "{");
  refuse(index(), "not valid JSON at byte 2");
}

TEST_F(CheckpointTest, BrokenShardNamesTheShard) {
  put("model-1.safetensors", "abc");
  put_index(R"({"a":"model-1.safetensors"})");
  refuse((root_ / "model-1.safetensors").string(), "too short for a safetensors file");
}

}  // namespace
}  // namespace sagesan
