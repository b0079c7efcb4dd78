// Exit code 3: what stands in the files. Everything stays as it was.
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>
#include <string>

#include "cli/cli_fixture.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;
using testing::TinyModel;
using testing::TinyWeights;
using testing::write_file;

class BadInput : public testing::CliTest {
 protected:
  BadInput() { make_pair(); }
  std::string config() const { return (base() / "config.json").string(); }
};

TEST_F(BadInput, MissingDirectory) {
  fs::remove_all(base());
  refuse(sanitize(), 3, {base().string() + ": no such directory"});
}

TEST_F(BadInput, MissingDirectoryOfTheUnlearned) {
  fs::remove_all(unlearned());
  refuse(sanitize(), 3, {unlearned().string() + ": no such directory"});
}

TEST_F(BadInput, AFileInThePlaceOfAWholeModel) {
  const fs::path file = base() / "model.safetensors";
  const std::string reason =
      file.string() + ": is a file; expected the directory of a whole model, with its config.json";
  const testing::Arguments pair = {"--unlearned", unlearned(), "--base", file},
                           texts = {"--base", file, "--retain", retain()};
  const auto run = [](const char* command, const testing::Arguments& more) {
    return testing::joined({command}, more);
  };
  refuse(testing::joined(run("sanitize", pair), {"--retain", retain(), "--out", out()}), 3,
         {reason});
  refuse(testing::joined(run("sanitize", pair),
                         {"--retain", retain(), "--forget", retain(), "--auto", "--out", out()}),
         3, {reason});
  refuse(run("inspect", pair), 3, {reason});
  refuse(testing::joined(run("collect", texts), {"--out", root_ / "m.safetensors"}), 3, {reason});
  refuse({"evaluate", "--model", file, "--data", "kept=" + retain().string()}, 3, {reason});
}

TEST_F(BadInput, MissingConfiguration) {
  fs::remove(base() / "config.json");
  refuse(sanitize(), 3, {config() + ": no such file"});
}

TEST_F(BadInput, MissingKeyIsNamed) {
  edit_config(base(), [](auto& c) { c.erase("num_hidden_layers"); });
  refuse(sanitize(), 3, {config(), "key 'num_hidden_layers': missing"});
}

TEST_F(BadInput, ConfigurationValues) {
  const auto original = testing::read_file(base() / "config.json");
  const auto with = [&](const char* key, const nlohmann::json& value, const std::string& fragment) {
    edit_config(base(), [&](auto& c) { c[key] = value; });
    refuse(sanitize(), 3, {config(), fragment});
    write_file(base() / "config.json", original);
  };
  with("hidden_size", "32", "key 'hidden_size': expected an integer, found string");
  with("num_hidden_layers", 0, "key 'num_hidden_layers': expected 1 to 10000, found 0");
  with("num_attention_heads", 5, "key 'num_attention_heads': 5 heads do not divide hidden_size 32");
  with("num_key_value_heads", 3, "key 'num_key_value_heads': 3 does not divide");
  with("hidden_act", "mish", "key 'hidden_act': activation 'mish' is not supported");
}

TEST_F(BadInput, TwoSpellingsOfRopeThatDiffer) {
  const nlohmann::json plain = {{"rope_type", "default"}, {"rope_theta", 10000.0}};
  for (const auto& directory : {base(), unlearned()})
    edit_config(directory, [&](auto& c) { c["rope_parameters"] = c["rope_scaling"] = plain; });
  succeed(sanitize({"--dry-run"}));
  edit_config(base(), [](auto& c) {
    c["rope_scaling"] = {{"rope_type", "yarn"}, {"factor", 4.0}};
  });
  refuse(sanitize(), 3, {config(), "key 'rope_scaling': stands beside other 'rope_parameters'"});
}

TEST_F(BadInput, UnsupportedArchitecture) {
  edit_config(base(), [](auto& c) { c["architectures"] = {"MambaForCausalLM"}; });
  refuse(
      sanitize(), 3,
      {config(), "key 'architectures': 'MambaForCausalLM' is not supported", "LlamaForCausalLM"});
}

TEST_F(BadInput, QuantizedCheckpoint) {
  edit_config(base(), [](auto& c) { c["quantization_config"] = {{"quant_method", "gptq"}}; });
  refuse(sanitize(), 3, {config(), "quantized with 'gptq'", "model.dequantize()"});
}

TEST_F(BadInput, BrokenConfiguration) {
  write_file(base() / "config.json", "{");
  refuse(sanitize(), 3, {config() + ": not valid JSON at byte 2"});
}

TEST_F(BadInput, ShapeThatContradictsTheConfiguration) {
  edit_config(base(), [](auto& c) { c["intermediate_size"] = 40; });
  edit_config(unlearned(), [](auto& c) { c["intermediate_size"] = 40; });
  refuse(sanitize(), 3,
         {(base() / "model.safetensors").string(), "tensor 'model.layers.0.mlp.down_proj.weight'",
          "shape [32, 48], but config.json asks for [32, 40]"});
}

TEST_F(BadInput, LayersThatTheCheckpointLacks) {
  edit_config(base(), [](auto& c) { c["num_hidden_layers"] = 3; });
  refuse(sanitize(), 3,
         {base().string(), "tensor 'model.layers.2.input_layernorm.weight' is missing"});
}

TEST_F(BadInput, BrokenHeader) {
  const std::string bytes = testing::read_file(unlearned() / "model.safetensors");
  write_file(unlearned() / "model.safetensors", bytes.substr(0, bytes.size() - 1));
  refuse(sanitize(), 3, {(unlearned() / "model.safetensors").string(), "truncated"});
}

TEST_F(BadInput, CheckpointsOfDifferentModels) {
  TinyModel other;
  other.intermediate = 64;
  fs::remove_all(unlearned());
  testing::make_unlearned(unlearned(), other);
  refuse(sanitize(), 3,
         {"base and unlearned must be the same model", "[64, 32], in the base [48, 32]"});
}

TEST_F(BadInput, IdenticalCheckpoints) {
  fs::remove_all(unlearned());
  testing::make_base(unlearned());
  refuse(sanitize(), 3, {unlearned().string() + ": the checkpoints are identical"});
}

TEST_F(BadInput, RetainFiles) {
  const auto with = [&](const std::string& content, const std::string& fragment) {
    write_file(retain(), content);
    refuse(sanitize(), 3, {retain().string(), fragment});
  };
  with("", ": empty");
  with("\n \r\n", ": holds nothing but white space");
  with("{\"input_ids\":[1,64]}\n", ":1: token id 64 is outside the model's vocabulary of 64");
  with("{\"input_ids\":[1]}\n{\"input_ids\":[-1]}\n",
       ":2: field 'input_ids': element 0 is negative: -1");
  with("{\"text\":\"hello\"}\n", ":1: a text, but the model has no tokenizer.json");
  with("{\"input_ids\":[1,2]}\n{\"input_ids\":[1,", ":2: not valid JSON at byte 17");
}

TEST_F(BadInput, MissingRetainFile) {
  fs::remove(retain());
  refuse(sanitize(), 3, {retain().string() + ": no such file"});
}

TEST_F(BadInput, RetainFileThatIsADirectory) {
  fs::remove(retain());
  fs::create_directory(retain());
  refuse(sanitize(), 3, {retain().string() + ": is a directory, expected a file"});
}

TEST_F(BadInput, SeveralProblemsAreToldAtOnce) {
  edit_config(base(), [](auto& c) { c.erase("num_hidden_layers"); });
  fs::remove(unlearned() / "model.safetensors");
  fs::create_directory(out());
  const std::string error = refuse_lines(sanitize({"--report", root_ / "none/report.json"}), 3, 4);
  for (const char* fragment :
       {"num_hidden_layers", "no model.safetensors", "exists already", "none: no such directory"}) {
    EXPECT_NE(error.find(fragment), std::string::npos) << error;
  }
}

/// NaN and infinity, wherever they stand: the message names the checkpoint.
class BadValues : public testing::CliTest {
 protected:
  void put(const fs::path& directory, TinyWeights weights, const std::string& name, double value) {
    tensor_named(weights, name).values[3] = value;
    testing::write_checkpoint(directory, {}, weights);
  }
  static constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  static constexpr double kInfinity = std::numeric_limits<double>::infinity();
};

TEST_F(BadValues, NanInAChangedTensor) {
  make_pair();
  put(unlearned(), testing::unlearned_weights({}), "model.layers.1.mlp.up_proj.weight", kNan);
  refuse(sanitize(), 3,
         {(unlearned() / "model.safetensors").string(),
          "tensor 'model.layers.1.mlp.up_proj.weight'", "holds NaN or infinity"});
}

TEST_F(BadValues, InfinityInAKeptTensor) {
  make_pair();
  put(unlearned(), testing::unlearned_weights({}), "model.norm.weight", kInfinity);
  refuse(sanitize({"--other", "keep"}), 3, {"tensor 'model.norm.weight'", "holds NaN or infinity"});
}

TEST_F(BadValues, NanInTheBase) {
  make_pair();
  put(base(), testing::base_weights({}), "model.layers.0.self_attn.q_proj.weight", kNan);
  refuse(sanitize(), 3, {base().string()});
}

TEST_F(BadValues, NanInAnUnchangedTensorOfTheBase) {
  make_pair();
  const std::string changed = "model.layers.1.mlp";
  put(base(), testing::base_weights({}), "model.layers.0.self_attn.o_proj.weight", kNan);
  put(unlearned(), testing::unlearned_weights({}, changed),
      "model.layers.0.self_attn.o_proj.weight", kNan);
  refuse(sanitize(), 3, {base().string(), "not finite"});
}

/// What no text reaches and nobody computes would only be copied.
TEST_F(BadValues, NanThatIsReachedByNothing) {
  make_pair();
  const std::string changed = "model.layers.1.mlp";
  const fs::path moments = root_ / "m.safetensors";
  succeed({"collect", "--base", base(), "--retain", retain(), "--out", moments, "-q"});
  const std::string embedding = "model.embed_tokens.weight";
  TinyWeights weights = testing::unlearned_weights({}, changed);
  tensor_named(weights, embedding).values.back() = kNan;
  testing::write_checkpoint(unlearned(), {}, weights);
  const std::vector<std::string> message = {(unlearned() / "model.safetensors").string(),
                                            "tensor '" + embedding + "': holds NaN or infinity"};
  refuse(sanitize({"--exclude", "embed"}), 3, message);
  refuse(sanitize({"--exclude", "embed", "--dry-run"}), 3, message);
  refuse({"sanitize", "--base", base(), "--unlearned", unlearned(), "--moments", moments, "--out",
          out(), "--other", "keep"},
         3, message);
  refuse({"inspect", "--base", base(), "--unlearned", unlearned()}, 3, message);
  refuse({"collect", "--base", unlearned(), "--retain", retain(), "--out", root_ / "n.safetensors"},
         3, message);
}

TEST_F(BadValues, NanAheadOfAChangedNorm) {
  make_pair();
  const std::string changed = "model.norm";
  put(base(), testing::base_weights({}), "model.layers.0.self_attn.o_proj.weight", kNan);
  put(unlearned(), testing::unlearned_weights({}, changed),
      "model.layers.0.self_attn.o_proj.weight", kNan);
  refuse(sanitize(), 3, {base().string(), "not finite"});
}

TEST_F(BadValues, ActivationsThatAreAllZeroNameTheCheckpointTheyCameFrom) {
  make_pair();
  TinyWeights weights = testing::base_weights({});
  for (double& value : tensor_named(weights, "model.embed_tokens.weight").values) value = 0;
  testing::write_checkpoint(base(), {}, weights);
  refuse(sanitize({"--exclude", "embed|proj"}), 3,
         {base().string() + ": ", "the normalized activations are all zero"});
  refuse(sanitize({"--include", "q_proj"}), 3,
         {base().string() + ": layers.0.attention_input: ", "no activation at all"});
}

TEST_F(BadValues, EvaluateNamesTheModel) {
  make_pair();
  const std::vector<std::string> command = {
      "evaluate", "--model", base(), "--data", "a=" + retain().string(), "--device", "cpu"};
  put(base(), testing::base_weights({}), "model.layers.0.self_attn.o_proj.weight", kNan);
  refuse(command, 3, {base().string(), "not finite"});
  TinyWeights weights = testing::base_weights({});
  for (double& value : tensor_named(weights, "lm_head.weight").values) value *= 3e38;
  testing::write_checkpoint(base(), {}, weights);
  refuse(command, 3, {base().string() + ": the model's likelihoods are not finite"});
}

}  // namespace
}  // namespace sagesan
