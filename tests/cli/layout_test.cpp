// Unlearned checkpoints that are not laid out as the base is, and outputs that are not laid out as
// the unlearned checkpoint is.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "cli/cli_fixture.h"
#include "cli/weights.h"

namespace sagesan::testing {
namespace {

namespace fs = std::filesystem;

class LayoutTest : public CliTest {
 protected:
  /// The run must succeed and say on stderr what `fragments` hold, and nothing where there are
  /// none.
  static void run(const Arguments& arguments, const std::vector<std::string>& fragments = {}) {
    const RunResult result = run_program(arguments);
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'),
              static_cast<int64_t>(fragments.size()))
        << result.err;
    for (const std::string& fragment : fragments)
      EXPECT_NE(result.err.find(fragment), std::string::npos) << result.err;
  }
  /// What the plain pair gives, made before the unlearned checkpoint is stored otherwise.
  Weights sanitize_plainly(const TinyModel& model = {}, const std::string& only = "") {
    make_base(base(), model);
    make_unlearned(unlearned(), model, only);
    write_file(retain(), tiny_records(5, 20, model.vocabulary));
    run(sanitize());
    Weights weights = read_weights(out() / "model.safetensors");
    fs::remove_all(out());
    return weights;
  }
  static nlohmann::json json(const fs::path& path) {
    return nlohmann::json::parse(read_file(path));
  }
  /// All weights of a sharded checkpoint, by its index.
  static Weights read_shards(const fs::path& directory) {
    std::map<std::string, Weights> files;
    Weights result;
    const nlohmann::json index = json(directory / "model.safetensors.index.json");
    for (const auto& [name, file] : index["weight_map"].items()) {
      const auto shard = file.get<std::string>();
      if (!files.contains(shard)) files[shard] = read_weights(directory / shard);
      result[name] = files[shard].at(name);
    }
    size_t stored = 0;
    for (const auto& [name, weights] : files) stored += weights.size();
    EXPECT_EQ(stored, result.size());
    return result;
  }

  TinyModel model_;
};

TEST_F(LayoutTest, PartOfAModel) {
  const Weights whole = sanitize_plainly(model_, "layers.1.mlp");
  TinyWeights part = unlearned_weights(model_, "layers.1.mlp");
  std::erase_if(part, [](const TinyTensor& tensor) {
    return tensor.name.find("layers.1.mlp") == std::string::npos;
  });
  fs::remove_all(unlearned());
  write_checkpoint(unlearned(), model_, part);
  run(sanitize(), {"holds 3 of 21 tensors; the others are the base's"});
  EXPECT_EQ(read_weights(out() / "model.safetensors"), whole);
  const nlohmann::json report = json(out() / "sagesan_report.json");
  EXPECT_EQ(report["summary"]["tensors"], 3);
  EXPECT_EQ(report["summary"]["tensors_from_base"], 18);

  // The file alone, under any name, is as good; its configuration is then the base's.
  fs::rename(unlearned() / "model.safetensors", root_ / "edited.safetensors");
  fs::remove_all(unlearned());
  fs::remove_all(out());
  Arguments arguments = sanitize();
  arguments[4] = root_ / "edited.safetensors";
  run(arguments, {"holds 3 of 21 tensors"});
  EXPECT_EQ(read_weights(out() / "model.safetensors"), whole);
  EXPECT_EQ(read_file(out() / "config.json"), read_file(base() / "config.json"));
}

TEST_F(LayoutTest, PartOfAShardedModelTakesTheBasesFiles) {
  model_.shards = 3;
  make_base(base(), model_);
  TinyWeights part = unlearned_weights(model_);
  part.resize(5);
  TinyModel single = model_;
  single.shards = 1;
  write_checkpoint(unlearned(), single, part);
  write_file(retain(), tiny_records(5, 20, model_.vocabulary));
  run(sanitize({"--strength", "0"}), {"holds 5 of 21 tensors"});
  const Weights result = read_shards(out());
  EXPECT_EQ(read_file(out() / "model.safetensors.index.json"),
            read_file(base() / "model.safetensors.index.json"));
  const Weights before = read_shards(base());
  const Weights after = read_weights(unlearned() / "model.safetensors");
  for (const auto& [name, values] : before)
    EXPECT_EQ(result.at(name), after.contains(name) ? after.at(name) : values) << name;
}

TEST_F(LayoutTest, PartOfATiedModelThatStoresItsHead) {
  model_.tied = true;
  TinyWeights weights = base_weights(model_);
  TinyTensor head = tensor_named(weights, "model.embed_tokens.weight");
  head.name = "lm_head.weight";
  weights.push_back(head);
  weights.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", {4}, {1, 2, 3, 4}});
  write_checkpoint(base(), model_, weights);
  write_file(retain(), tiny_records(5, 20, model_.vocabulary));
  const TinyWeights unlearned_all = unlearned_weights(model_);
  for (const bool with_embedding : {false, true}) {
    const TinyWeights part = {unlearned_all[with_embedding ? 0 : 3]};
    write_checkpoint(unlearned(), model_, part);
    fs::remove_all(out());
    run(sanitize(), {"holds 1 of"});
    Weights result = read_weights(out() / "model.safetensors");
    EXPECT_EQ(result.at("lm_head.weight"), result.at("model.embed_tokens.weight"));
    const Weights before = read_weights(base() / "model.safetensors");
    for (const auto& [name, values] : before) {
      const bool changed = name == part[0].name || (with_embedding && name == "lm_head.weight");
      EXPECT_EQ(result.at(name) != values, changed) << name;
    }
  }
}

TEST_F(LayoutTest, ActivationsOfAPart) {
  make_pair();
  TinyWeights part = unlearned_weights(model_);
  part.resize(2);
  write_checkpoint(unlearned(), model_, part);
  refuse(sanitize({"--activations", "unlearned"}), 3, {"is missing, which config.json asks for"});
}

TEST_F(LayoutTest, WrappedNamesAreKept) {
  const Weights plain = sanitize_plainly();
  TinyWeights weights = unlearned_weights(model_);
  for (TinyTensor& tensor : weights) tensor.name = "module." + tensor.name;
  write_checkpoint(unlearned(), model_, weights);
  run(sanitize(), {"names start with 'module.' ('module.model.embed_tokens.weight')"});
  Weights expected;
  for (const auto& [name, values] : plain) expected["module." + name] = values;
  EXPECT_EQ(read_weights(out() / "model.safetensors"), expected);
}

TEST_F(LayoutTest, NewTokensStayAsTheyAre) {
  for (const bool tied : {false, true}) {
    model_.tied = tied;
    const Weights plain = sanitize_plainly(model_);
    TinyWeights grown = unlearned_weights(model_);
    std::vector<std::string> notices;
    for (const char* name : {"model.embed_tokens.weight", "lm_head.weight"}) {
      if (tied && std::string(name) == "lm_head.weight") continue;
      TinyTensor& tensor = tensor_named(grown, name);
      tensor.shape[0] += 2;
      for (int64_t i = 0; i < 2 * model_.hidden; ++i) tensor.values.push_back(i);
      notices.push_back(std::string("'") + name + "' has 2 rows more than the base's");
    }
    TinyModel larger = model_;
    larger.vocabulary += 2;
    for (const bool with_config : {true, false}) {
      write_checkpoint(unlearned(), larger, grown);
      if (!with_config) fs::remove(unlearned() / "config.json");
      fs::remove_all(out());
      run(sanitize(), notices);
      Weights result = read_weights(out() / "model.safetensors");
      for (auto& [name, values] : result) {
        const bool has_rows = name == "model.embed_tokens.weight" || name == "lm_head.weight";
        if (has_rows) {
          const auto begin = values.end() - 2 * model_.hidden;
          for (int64_t i = 0; i < 2 * model_.hidden; ++i)
            EXPECT_EQ(begin[i], static_cast<double>(i));
          values.erase(begin, values.end());
        }
        EXPECT_EQ(values, plain.at(name)) << name;
      }
      EXPECT_EQ(json(out() / "config.json")["vocab_size"], model_.vocabulary + 2);
    }
    fs::remove_all(root_ / "out");
  }
}

TEST_F(LayoutTest, HeadThatTheBaseTies) {
  model_.tied = true;
  make_base(base(), model_);
  TinyModel untied = model_;
  untied.tied = false;
  TinyWeights weights = unlearned_weights(model_);
  TinyTensor head = tensor_named(weights, "model.embed_tokens.weight");
  head.name = "lm_head.weight";
  for (double& value : head.values) value += 0.01;
  weights.push_back(head);
  write_checkpoint(unlearned(), untied, weights);
  write_file(retain(), tiny_records(5, 20, model_.vocabulary));
  run(sanitize());

  // The same as with a base that stores its head of its own.
  TinyWeights both = base_weights(model_);
  TinyTensor base_head = tensor_named(both, "model.embed_tokens.weight");
  base_head.name = "lm_head.weight";
  both.push_back(base_head);
  write_checkpoint(base(), untied, both);
  const Weights tied_base = read_weights(out() / "model.safetensors");
  fs::remove_all(out());
  run(sanitize());
  EXPECT_EQ(tied_base, read_weights(out() / "model.safetensors"));
  EXPECT_NE(tied_base.at("lm_head.weight"),
            read_weights(unlearned() / "model.safetensors").at("lm_head.weight"));
}

TEST_F(LayoutTest, HeadThatTheUnlearnedTies) {
  const auto differs = [this](double shift) {
    model_.tied = false;
    TinyWeights both = base_weights(model_);
    tensor_named(both, "lm_head.weight").values =
        tensor_named(both, "model.embed_tokens.weight").values;
    tensor_named(both, "lm_head.weight").values[0] += shift;
    write_checkpoint(base(), model_, both);
    TinyModel tied = model_;
    tied.tied = true;
    make_unlearned(unlearned(), tied);
    write_file(retain(), tiny_records(5, 20, model_.vocabulary));
  };
  differs(1);
  refuse(sanitize(), 3, {"config.json: ties the head to the embedding, but the base has two"});
  differs(0);
  run(sanitize());
  const Weights result = read_weights(out() / "model.safetensors");
  fs::remove_all(out());
  model_.tied = true;
  EXPECT_EQ(sanitize_plainly(model_), result);
}

TEST_F(LayoutTest, WhatTheFamilyDoesNotKnowIsCopiedAndTold) {
  make_pair();
  const TinyTensor extra = {"model.extra.weight", {2, 2}, {1, 2, 3, 4}};
  TinyWeights weights = base_weights(model_);
  weights.push_back(extra);
  write_checkpoint(base(), model_, weights);
  weights = unlearned_weights(model_);
  weights.push_back(extra);
  weights.back().values[0] = 9;
  write_checkpoint(unlearned(), model_, weights);
  run(sanitize(), {"'model.extra.weight' changed but is no parameter that the llama family knows"});
  EXPECT_EQ(read_weights(out() / "model.safetensors").at(extra.name), weights.back().values);
}

TEST_F(LayoutTest, BuffersAreCopied) {
  make_pair();
  TinyWeights weights = unlearned_weights(model_);
  weights.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", {4}, {1, 2, 3, 4}});
  write_checkpoint(unlearned(), model_, weights);
  run(sanitize());
  EXPECT_EQ(read_weights(out() / "model.safetensors").at(weights.back().name),
            weights.back().values);
}

TEST_F(LayoutTest, TheConfigurationSaysTheDtype) {
  make_pair();
  edit_config(base(), [](auto& config) { config["torch_dtype"] = "float32"; });
  model_.dtype = DType::kBF16;
  make_unlearned(unlearned(), model_);
  fs::remove(unlearned() / "config.json");
  run(sanitize());
  EXPECT_EQ(json(out() / "config.json")["torch_dtype"], "bfloat16");
}

TEST_F(LayoutTest, AnotherVocabularyIsTold) {
  make_pair();
  nlohmann::json tokenizer = {
      {"model",
       {{"type", "BPE"}, {"vocab", {{"a", 0}, {"b", 1}}}, {"merges", nlohmann::json::array()}}}};
  write_file(base() / "tokenizer.json", tokenizer.dump());
  std::swap(tokenizer["model"]["vocab"]["a"], tokenizer["model"]["vocab"]["b"]);
  write_file(unlearned() / "tokenizer.json", tokenizer.dump());
  run(sanitize(), {"unlearned/tokenizer.json has another vocabulary than the base's"});
}

TEST_F(LayoutTest, AnotherDType) {
  const Weights plain = sanitize_plainly();
  for (const char* dtype : {"f32", "bf16"}) {
    fs::remove_all(out());
    run(sanitize({"--dtype", dtype}));
    Weights expected;
    const SafetensorsFile file(out() / "model.safetensors");
    for (const TensorInfo& tensor : file.tensors()) {
      const bool wide = std::string(dtype) == "f32";
      EXPECT_EQ(tensor.dtype, wide ? DType::kF32 : DType::kBF16);
      std::string bytes(tensor.bytes, '\0');
      file.read(tensor, 0, std::as_writable_bytes(std::span(bytes)));
      EXPECT_EQ(bytes, encode_values(plain.at(tensor.name), tensor.dtype)) << tensor.name;
    }
    EXPECT_EQ(json(out() / "config.json")["torch_dtype"],
              std::string(dtype) == "f32" ? "float32" : "bfloat16");
    EXPECT_EQ(json(out() / "sagesan_report.json")["options"]["dtype"], dtype);
  }
}

TEST_F(LayoutTest, ValuesThatADTypeCannotHold) {
  make_pair();
  TinyWeights weights = unlearned_weights(model_);
  tensor_named(weights, "model.norm.weight").values[3] = 1e6;
  write_checkpoint(unlearned(), model_, weights);
  for (const char* other : {"shrink", "keep"})
    refuse(sanitize({"--dtype", "f16", "--other", other}), 3, {"model.norm.weight"});
  tensor_named(weights, "lm_head.weight").values[0] += 1;
  write_checkpoint(base(), model_, weights);
  refuse(
      sanitize({"--dtype", "f16"}), 3,
      {"tensor 'model.norm.weight'", "holds values that F16 cannot hold; choose another --dtype"});
}

TEST_F(LayoutTest, ShardsOfAnySize) {
  const Weights plain = sanitize_plainly();
  run(sanitize({"--shard-size", "10KB"}));
  EXPECT_EQ(read_shards(out()), plain);
  int64_t total = 0;
  for (const auto& entry : fs::directory_iterator(out())) {
    if (entry.path().extension() != ".safetensors") continue;
    uint64_t bytes = 0;
    const SafetensorsFile file(entry.path());
    for (const TensorInfo& tensor : file.tensors()) bytes += tensor.bytes;
    EXPECT_LE(bytes, 10000U);
    total += static_cast<int64_t>(bytes);
  }
  EXPECT_EQ(json(out() / "model.safetensors.index.json")["metadata"]["total_size"], total);
  fs::remove_all(out());
  run(sanitize({"--shard-size", "1GB"}));
  EXPECT_EQ(read_weights(out() / "model.safetensors"), plain);
  EXPECT_FALSE(fs::exists(out() / "model.safetensors.index.json"));
  fs::remove_all(out());
  for (const char* wrong : {"0", "5 GB", "GB", "-1", "1.5GB", "5TB", ""})
    refuse(sanitize({"--shard-size", wrong}), 2, {"--shard-size"});
}

TEST_F(LayoutTest, ShardsWhoseNamesNoTwoFilesCanHave) {
  model_.shards = 2;
  const fs::path index = unlearned() / "model.safetensors.index.json";
  const auto refuse_names = [&](const std::string& first, const std::string& second,
                                const std::vector<std::string>& message) {
    make_base(base(), model_);
    fs::remove_all(unlearned());
    make_unlearned(unlearned(), model_);
    write_file(retain(), tiny_records(5, 20, model_.vocabulary));
    std::string names = read_file(index);
    for (const auto& [from, to] : {std::pair{"model-00001-of-00002.safetensors", first},
                                   {"model-00002-of-00002.safetensors", second}}) {
      fs::rename(unlearned() / from, unlearned() / to);
      for (size_t at = 0; (at = names.find(from)) != std::string::npos;)
        names.replace(at, std::string(from).size(), to);
    }
    write_file(index, names);
    refuse(sanitize({"--dry-run"}), 3, message);
    refuse(sanitize(), 3, message);
  };
  refuse_names("part", "part.safetensors",
               {unlearned().string(), "two shards would be written as 'part.safetensors'"});
  refuse_names(
      std::string(250, 'x'), "part",
      {unlearned().string(), "is longer than a name may be: give the shard a shorter one"});
}

TEST_F(LayoutTest, ModelCardSaysWhatWasDone) {
  make_pair();
  run(sanitize({"--strength", "2", "--exclude", "zz|`b`"}));
  const nlohmann::json report = json(out() / "sagesan_report.json");
  const std::string card = read_file(out() / "README.md");
  for (const std::string& line :
       {std::string("| strength | 2 |"), std::string("| exclude | `zz__b_` |"),
        std::string("| changed tensors | 21 of 21, "),
        "| unlearned | `" + report["inputs"]["unlearned"]["identity"].get<std::string>() + "` |"})
    EXPECT_NE(card.find(line), std::string::npos) << line << "\nis not in\n" << card;
  EXPECT_EQ(card.find(root_.path().string()), std::string::npos);
  const nlohmann::json& survival = report["summary"]["survival"];
  EXPECT_NEAR(survival["stored"], 1, 1e-4);  // float32 holds nearly all of it
  EXPECT_LT(survival["stored"], 1.0001);
  EXPECT_GT(survival["int8"], survival["int4"]);
}

TEST_F(LayoutTest, DeltaIsTakenBackAsTheUnlearnedModel) {
  const Weights plain = sanitize_plainly(model_, "self_attn");
  run(sanitize({"--out-format", "delta"}));
  const Weights delta = read_weights(out() / "delta.safetensors");
  EXPECT_EQ(delta.size(), 8U);
  for (const auto& [name, values] : delta) EXPECT_EQ(values, plain.at(name)) << name;
  EXPECT_EQ(json(out() / "sagesan_report.json")["options"]["out_format"], "delta");

  fs::rename(out(), root_ / "delta");
  Arguments arguments = sanitize({"--strength", "0"});
  arguments[4] = root_ / "delta";
  run(arguments, {"holds 8 of 21 tensors"});
  EXPECT_EQ(read_weights(out() / "model.safetensors"), plain);
}

}  // namespace
}  // namespace sagesan::testing
