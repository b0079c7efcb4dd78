// A malformed file of every class through the program: exit code 3, one line that names the file
// and what is wrong, nothing changed. Every field of every format has its cases beside its reader:
// tests/checkpoint, tests/text, tests/report.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "checkpoint/torch_archive.h"
#include "cli/cli_fixture.h"
#include "helpers/adapter_files.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;
namespace pickle = testing::pickle;
using nlohmann::json;
using testing::Arguments;
using testing::little_endian;
using testing::safetensors;

struct Malformed {
  std::string name;
  std::string file;  ///< that gets `bytes`, below the root
  std::string bytes;
  std::string message;
};

class MalformedFile : public testing::CliTest, public ::testing::WithParamInterface<Malformed> {
 protected:
  MalformedFile() { make_pair(); }
  /// The file's bytes are written and `run` must refuse them.
  void refuse_file(const Arguments& run) {
    const fs::path file = root_ / GetParam().file;
    fs::create_directories(file.parent_path());
    testing::write_file(file, GetParam().bytes);
    refuse(run, 3, {file.string(), GetParam().message});
  }
};

std::string name_of(const ::testing::TestParamInfo<Malformed>& info) { return info.param.name; }

std::string one_tensor(const std::string& entry, size_t bytes = 4) {
  return safetensors("{\"t\":" + entry + "}", std::string(bytes, 'd'));
}
std::string shaped(const std::string& shape) {
  return one_tensor(R"({"dtype":"F32","shape":)" + shape + R"(,"data_offsets":[0,4]})");
}
std::string placed(const std::string& offsets) {
  return one_tensor(R"({"dtype":"U8","shape":[4],"data_offsets":)" + offsets + "}");
}
std::string named(const std::string& name) {
  return safetensors("{\"" + name + R"(":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "d");
}

// --- Safetensors ---------------------------------------------------------------------------------

class MalformedWeights : public MalformedFile {};

TEST_P(MalformedWeights, AreRefused) {
  refuse_file({"inspect", "--base", base(), "--unlearned", unlearned()});
}

const std::string kWeights = "unlearned/model.safetensors";

INSTANTIATE_TEST_SUITE_P(
    Safetensors, MalformedWeights,
    ::testing::ValuesIn(std::vector<Malformed>{
        {"Empty", kWeights, "", "too short for a safetensors file"},
        {"LengthTooSmall", kWeights, little_endian(1) + "{}", "header length 1 is outside"},
        {"LengthPastTheEnd", kWeights, little_endian(100) + "{}",
         "claims 100 bytes but only 2 follow"},
        {"LengthOfAllOnes", kWeights, little_endian(~uint64_t{0}) + "{}",
         "claims 18446744073709551615 bytes"},
        {"BigEndianLength", kWeights, std::string("\0\0\0\0\0\0\0\x02{}", 10),
         "bytes but only 2 follow"},
        {"GitLfsPointer", kWeights,
         "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git lfs pull"},
        {"HtmlPage", kWeights, "<!DOCTYPE html><html></html>", "is an HTML page"},
        {"Zip", kWeights, "PK\x03\x04" + std::string(30, 'z'),
         "is a zip archive or a PyTorch pickle"},
        {"Gguf", kWeights, "GGUF\x03" + std::string(30, '\0'), "is a GGUF file"},
        {"NoUtf8", kWeights, named("\xff"), "UTF-8"},
        {"JsonSyntax", kWeights, safetensors("{\"t\":}"), "not valid JSON"},
        {"Depth", kWeights,
         safetensors("{\"t\":" + std::string(200, '[') + std::string(200, ']') + "}"),
         "nested deeper than 128"},
        {"DuplicateNames", kWeights,
         safetensors(
             R"({"t":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"t":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})"),
         "twice"},
        {"DuplicateByAnEscape", kWeights,
         safetensors(
             R"({"t":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"\u0074":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})"),
         "twice"},
        {"MetadataOfNumbers", kWeights, safetensors(R"({"__metadata__":{"a":1}})"),
         "expected text"},
        {"MissingField", kWeights, one_tensor(R"({"dtype":"F32","data_offsets":[0,4]})"),
         "key 'shape': missing"},
        {"MistypedField", kWeights, one_tensor(R"({"dtype":32,"shape":[1],"data_offsets":[0,4]})"),
         "key 'dtype': expected"},
        {"UnknownDtype", kWeights,
         one_tensor(R"({"dtype":"F31","shape":[1],"data_offsets":[0,4]})"), "'F31' is no dtype"},
        {"NegativeShape", kWeights, shaped("[-1]"), "'-1' is no size"},
        {"FractionalShape", kWeights, shaped("[1.5]"), "'1.5' is no size"},
        {"ShapeBeyond64Bits", kWeights, shaped("[18446744073709551616]"),
         "does not fit in 64 bits"},
        {"ShapeThatOverflows", kWeights, shaped("[4294967296,4294967296,4294967296]"), "overflows"},
        {"SizeThatDoesNotMatch", kWeights, shaped("[2]"), "4 bytes of data, but F32 [2] needs 8"},
        {"OffsetsReversed", kWeights, placed("[4,0]"), "is no range"},
        {"OffsetsNegative", kWeights, placed("[-4,0]"), "is no range"},
        {"Hole", kWeights,
         safetensors(R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", "dd"),
         "a hole or an overlap"},
        {"Overlap", kWeights,
         safetensors(
             R"({"s":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"t":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
             "ddd"),
         "a hole or an overlap"},
        {"TrailingBytes", kWeights, safetensors("{}", "d"), "1 bytes after the last tensor"},
        {"Truncated", kWeights,
         safetensors(R"({"t":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}})", "d"), "truncated"},
        {"EmptyName", kWeights, named(""), "empty"},
        {"NameWithNul", kWeights, named(R"(a\u0000b)"), "control characters in the name"},
        {"NameWithControl", kWeights, named(R"(a\u001bb)"), "control characters in the name"},
        {"NameRightToLeft", kWeights, named(R"(a\u202eb)"), "control characters in the name"},
        {"NameOfAMegabyte", kWeights, named(std::string(1 << 20, 'x')), "1024"},
    }),
    name_of);

// --- The index of shards
// ---------------------------------------------------------------------------

class MalformedIndex : public MalformedFile {};

TEST_P(MalformedIndex, IsRefused) {
  fs::rename(unlearned() / "model.safetensors", unlearned() / "a.safetensors");
  const fs::path index = root_ / GetParam().file;
  testing::write_file(index, GetParam().bytes);
  refuse({"inspect", "--base", base(), "--unlearned", unlearned()}, 3,
         {unlearned().string(), GetParam().message});
}

const std::string kIndex = "unlearned/model.safetensors.index.json";

INSTANTIATE_TEST_SUITE_P(
    Shards, MalformedIndex,
    ::testing::ValuesIn(std::vector<Malformed>{
        {"PathEscapes", kIndex, R"({"weight_map":{"a":"../a.safetensors"}})",
         "is no file name inside the directory"},
        {"AbsolutePath", kIndex, R"({"weight_map":{"a":"/etc/passwd"}})",
         "is no file name inside the directory"},
        {"NameTooLong", kIndex, json{{"weight_map", {{"a", std::string(300, 'x')}}}}.dump(),
         "is no file name inside the directory"},
        {"MissingShard", kIndex, R"({"weight_map":{"a":"b.safetensors"}})",
         "b.safetensors: no such file"},
        {"TensorInNoShard", kIndex, R"({"weight_map":{"a":"a.safetensors"}})",
         "tensor 'a' is not in 'a.safetensors'"},
        {"TensorInTwoShards", kIndex, R"({"weight_map":{"a":"a.safetensors","a":"b.safetensors"}})",
         "twice"},
        {"WrongTypes", kIndex, R"({"weight_map":{"a":1}})", "expected a file name"},
        {"NoMap", kIndex, R"({"weights":{}})", "key 'weight_map': missing"},
        {"EmptyMap", kIndex, R"({"weight_map":{}})", "expected tensor names and files"},
        {"NoJson", kIndex, "{", "not valid JSON"},
    }),
    name_of);

TEST_F(MalformedIndex, NamesOfShardsAreEscapedInMessages) {
  fs::rename(unlearned() / "model.safetensors", unlearned() / "a\n.safetensors");
  fs::copy_file(unlearned() / "a\n.safetensors", unlearned() / "\x1b[31m.safetensors");
  testing::write_file(unlearned() / "model.safetensors.index.json",
                      R"({"weight_map":{"a":"a\n.safetensors","b":"\u001b[31m.safetensors"}})");
  const std::string error = refuse({"inspect", "--base", base(), "--unlearned", unlearned()}, 3,
                                   {"a\\u{a}.safetensors", "\\u{1b}[31m.safetensors", " too"});
  EXPECT_EQ(error.find('\x1b'), std::string::npos) << error;
}

TEST_F(MalformedIndex, BesideASingleFile) {
  testing::write_file(unlearned() / "model.safetensors.index.json", "{}");
  refuse({"inspect", "--base", base(), "--unlearned", unlearned()}, 3,
         {unlearned().string(), "remove the stale one"});
}

// --- Tensors of the pair
// -------------------------------------------------------------------------

/// Of tensors without elements a header of some bytes can claim any number of experts.
TEST_F(MalformedIndex, ExpertsWithoutElements) {
  const std::string experts = "model.layers.0.mlp.experts.";
  const auto write = [&](const fs::path& directory, const std::string& tensor,
                         const std::string& shape) {
    fs::remove(directory / "config.json");
    testing::write_file(directory / "model.safetensors",
                        safetensors("{\"" + experts + tensor + R"(":{"dtype":"U8","shape":)" +
                                    shape + R"(,"data_offsets":[0,0]}})"));
  };
  write(base(), "gate_up_proj", "[144115188075855872,2,0]");
  write(unlearned(), "0.gate_proj.weight", "[1,0]");
  refuse({"inspect", "--base", base(), "--unlearned", unlearned()}, 3,
         {(unlearned() / "model.safetensors").string(), "in the base [144115188075855872, 2, 0]"});
}

// --- What is no file
// ---------------------------------------------------------------------------------

class NoFile : public testing::CliTest {};

TEST_F(NoFile, FifoDirectoryAndDevice) {
  make_pair();
  const fs::path weights = unlearned() / "model.safetensors";
  const Arguments run = {"inspect", "--base", base(), "--unlearned", unlearned()};
  fs::remove(weights);
  ASSERT_EQ(::mkfifo(weights.c_str(), 0600), 0);
  const testing::RunResult fifo = testing::run_program(run);  // a snapshot would wait for a writer
  EXPECT_EQ(fifo.code, 3);
  EXPECT_EQ(fifo.err, "sagesan: error: " + weights.string() + ": is no regular file\n");
  fs::remove(weights);
  fs::create_directory(weights);
  refuse(run, 3, {weights.string() + ": is a directory, expected a file"});
  fs::remove(weights);
  const testing::RunResult device =
      testing::run_program({"tokenize", "--model", base(), "--data", "/dev/zero"});
  EXPECT_EQ(device.code, 3);
  EXPECT_EQ(device.err, "sagesan: error: /dev/zero: is no regular file\n");
}

// --- Pickles
// -----------------------------------------------------------------------------------------

class MalformedPickles : public MalformedFile {};

TEST_P(MalformedPickles, AreRefused) {
  fs::remove(unlearned() / "model.safetensors");
  refuse_file({"inspect", "--base", base(), "--unlearned", unlearned()});
}

const std::string kBin = "unlearned/pytorch_model.bin";
const std::string kStorage = std::string(16, '\0');

std::string archive(const std::string& value) {
  return testing::torch_archive(value, {{"0", kStorage}});
}
std::string tensor_of(int64_t offset, const std::vector<int64_t>& shape,
                      const std::vector<int64_t>& strides) {
  return archive(
      pickle::dict({pickle::text("t"), pickle::tensor(pickle::storage("FloatStorage", "0", 4),
                                                      offset, shape, strides)}));
}

INSTANTIATE_TEST_SUITE_P(
    Pickles, MalformedPickles,
    ::testing::ValuesIn(std::vector<Malformed>{
        {"NoArchive", kBin, std::string(100, 'x'), "pytorch_model.bin"},
        {"Code", kBin,
         archive(pickle::call(pickle::global("os", "system"), {pickle::text("true")})),
         "'system' of the Python module 'os'"},
        {"CodeByAnotherName", kBin,
         archive(pickle::call(pickle::global("builtins", "eval"), {pickle::text("1")})),
         "'eval' of the Python module 'builtins'"},
        {"Deflated", kBin, testing::zip({{.name = "m/data.pkl", .data = "x", .method = 8}}),
         "compressed"},
        {"SizeBeyondTheStorage", kBin, tensor_of(0, {5}, {1}), "'t'"},
        {"StrideBeyondTheStorage", kBin, tensor_of(0, {2}, {9}), "'t'"},
        {"OffsetBeyondTheStorage", kBin, tensor_of(9, {1}, {1}), "'t'"},
        {"NegativeShape", kBin, tensor_of(0, {-1}, {1}), "'t'"},
        {"ShapeThatOverflows", kBin, tensor_of(0, {int64_t{1} << 40, int64_t{1} << 40}, {0, 0}),
         "'t'"},
        {"Truncated", kBin, tensor_of(0, {4}, {1}).substr(0, 200), "pytorch_model.bin"},
    }),
    name_of);

// --- JSON beside the weights
// -------------------------------------------------------------------------

class MalformedConfiguration : public MalformedFile {};

TEST_P(MalformedConfiguration, IsRefused) { refuse_file(sanitize()); }

/// config.json of the tiny model with one key changed.
std::string with(const char* key, const json& value) {
  json config = testing::tiny_config({});
  config[key] = value;
  return config.dump();
}
std::string without(const char* key) {
  json config = testing::tiny_config({});
  config.erase(key);
  return config.dump();
}

INSTANTIATE_TEST_SUITE_P(
    Configuration, MalformedConfiguration,
    ::testing::ValuesIn(std::vector<Malformed>{
        {"MissingKey", "base/config.json", without("hidden_size"), "key 'hidden_size': missing"},
        {"Negative", "base/config.json", with("num_hidden_layers", -1),
         "key 'num_hidden_layers': expected"},
        {"Zero", "base/config.json", with("num_attention_heads", 0),
         "key 'num_attention_heads': expected"},
        {"Indivisible", "base/config.json", with("num_attention_heads", 5),
         "do not divide hidden_size"},
        {"TextForNumber", "base/config.json", with("vocab_size", "64"),
         "expected an integer, found string"},
        {"Huge", "base/config.json", with("intermediate_size", uint64_t{1} << 63),
         "does not fit in 64 bits"},
        {"NotFinite", "base/config.json", R"({"rms_norm_eps": 1e999})", "not valid JSON"},
        {"UnsupportedArchitecture", "base/config.json", with("architectures", {"MambaForCausalLM"}),
         "is not supported"},
        {"Quantized", "base/config.json", with("quantization_config", {{"quant_method", "awq"}}),
         "quantized with 'awq'"},
        {"AList", "base/config.json", "[]", "expected a JSON object"},
        {"ByteOrderMark", "base/config.json", "\xEF\xBB\xBF{}", "byte-order mark"},
        {"NulBehind", "base/config.json", std::string("{}\0junk", 7), "NUL byte"},
    }),
    name_of);

TEST_F(MalformedConfiguration, ThatContradictsTheTensors) {
  const auto refuse_with = [&](const char* key, const json& value, const std::string& message) {
    SCOPED_TRACE(key);
    testing::write_file(base() / "config.json", with(key, value));
    refuse(sanitize(), 3, {base().string(), message});
  };
  refuse_with(
      "num_hidden_layers", 3,
      "tensor 'model.layers.2.input_layernorm.weight' is missing, which config.json asks for");
  refuse_with(
      "num_hidden_layers", 1,
      "tensor 'model.layers.1.self_attn.o_proj.weight': config.json asks for 1 layers only");
  refuse_with("vocab_size", 100, "shape [64, 32], but config.json asks for [100, 32]");
}

TEST_F(MalformedConfiguration, MomentsThatAreNone) {
  testing::write_file(root_ / "m.safetensors", safetensors("{}"));
  refuse({"sanitize", "--base", base(), "--unlearned", unlearned(), "--moments",
          root_ / "m.safetensors", "--out", out()},
         3, {(root_ / "m.safetensors").string() + ": is no moments file"});
}

/// `bytes` is the description of a model in a moments file of the base.
class MalformedDescription : public MalformedFile {
 protected:
  MalformedDescription() {
    succeed({"collect", "--base", base(), "--retain", retain(), "--out", moments(), "-q"});
  }
  fs::path moments() const { return root_ / "m.safetensors"; }
  void edit_header(const std::function<void(json&)>& edit) const {
    const std::string file = testing::read_file(moments());
    uint64_t length = 0;
    std::memcpy(&length, file.data(), sizeof length);
    json header = json::parse(file.substr(sizeof length, length));
    edit(header);
    testing::write_file(moments(), safetensors(header.dump(), file.substr(sizeof length + length)));
  }
  void describe(const std::string& model) const {
    edit_header([&](json& header) { header["__metadata__"]["model"] = model; });
  }
  Arguments sanitize_with_moments() const {
    return {"sanitize",  "--base",  base(),  "--unlearned", unlearned(),
            "--moments", moments(), "--out", out(),         "-q"};
  }
};

TEST_P(MalformedDescription, IsRefused) {
  describe(GetParam().bytes);
  refuse(sanitize_with_moments(), 3,
         {moments().string() + ": __metadata__ 'model'", GetParam().message});
}

const std::string kQuery = "model.layers.0.self_attn.q_proj.weight";
const std::string kMoments = "m.safetensors";

std::string described(const std::string& entry, const std::string& more = "") {
  return R"({"architecture":"Odd","parameters":{")" + kQuery + "\":" + entry + more + "}}";
}
/// The embedding as one that the head is tied to.
std::string tied(const std::string& head) {
  return R"({"architecture":"Odd",)" + head +
         R"("parameters":{"model.embed_tokens.weight":{"kind":"tied_embedding","site":"embedding","head":"head_input"},)"
         R"("lm_head.weight":{"kind":"linear","site":"head_input"}}})";
}

INSTANTIATE_TEST_SUITE_P(
    Descriptions, MalformedDescription,
    ::testing::ValuesIn(std::vector<Malformed>{
        {"NoJson", kMoments, "{", "not valid JSON"},
        {"NoObject", kMoments, "[]", "expected a JSON object"},
        {"NoArchitecture", kMoments, R"({"parameters":{}})", "key 'architecture': missing"},
        {"MistypedArchitecture", kMoments, R"({"architecture":1,"parameters":{}})",
         "key 'architecture': expected"},
        {"NoParameters", kMoments, R"({"architecture":"Odd"})", "key 'parameters': missing"},
        {"ParametersAsAList", kMoments, R"({"architecture":"Odd","parameters":[]})",
         "'parameters': expected a JSON object"},
        {"EntryThatIsNone", kMoments, described("1"), "'" + kQuery + "': expected a JSON object"},
        {"NoKind", kMoments, described("{}"), "key 'kind': missing"},
        {"UnknownKind", kMoments, described(R"({"kind":"conv"})"),
         "'conv' is no kind of parameter"},
        {"NoSite", kMoments, described(R"({"kind":"linear"})"), "key 'site': missing"},
        {"UnknownSite", kMoments, described(R"({"kind":"linear","site":"elsewhere"})"),
         "no moment of 32 channels of site 'elsewhere' that would do"},
        {"SiteOfAnotherWidth", kMoments,
         described(R"({"kind":"linear","site":"layers.0.mlp_hidden"})"),
         "no moment of 32 channels of site 'layers.0.mlp_hidden' that would do"},
        {"SiteOfSquaresAlone", kMoments,
         described(R"({"kind":"linear","site":"layers.0.attention_norm"})"),
         "no moment of 32 channels of site 'layers.0.attention_norm' that would do"},
        {"MistypedTransposed", kMoments,
         described(R"({"kind":"linear","site":"layers.0.attention_input","transposed":1})"),
         "key 'transposed': expected"},
        {"NormThatIsTransposed", kMoments,
         described(R"({"kind":"norm","site":"layers.0.attention_norm","transposed":true})"),
         "is for linear modules alone"},
        {"NoTiedHead", kMoments, tied(""), "key 'tied_head': missing"},
        {"TiedHeadThatIsAParameter", kMoments, tied(R"("tied_head":"lm_head.weight",)"),
         "is one of the parameters"},
    }),
    name_of);

/// Every field of a moments file.
TEST_F(MalformedDescription, MomentsWithAWrongField) {
  const std::string sound = testing::read_file(moments());
  const auto refuse_header = [&](const std::function<void(json&)>& edit,
                                 const std::string& message) {
    SCOPED_TRACE(message);
    testing::write_file(moments(), sound);
    edit_header(edit);
    refuse(sanitize_with_moments(), 3, {moments().string(), message});
  };
  for (const char* key : {"format_version", "base_identity", "tokenizer_identity", "max_length",
                          "token_cap", "retain_files", "retain_fields"}) {
    refuse_header([&](json& header) { header["__metadata__"].erase(key); },
                  std::string("__metadata__ '") + key + "': missing");
  }
  const auto refuse_value = [&](const char* key, const std::string& value,
                                const std::string& message) {
    refuse_header([&](json& header) { header["__metadata__"][key] = value; },
                  std::string("__metadata__ '") + key + "': " + message);
  };
  refuse_value("format_version", "2", "'2': this sagesan reads version 1");
  for (const char* number : {"-1", "x", "", "1.5x", "99999999999999999999"})
    refuse_value("max_length", number, "'" + std::string(number) + "' is no number of 0 or more");
  for (const char* number : {"-1", "nan", "inf", "1e999", " 1"})
    refuse_value("token_cap", number, "'" + std::string(number) + "' is no number of 0 or more");
  refuse_value("retain_files", "{", "not valid JSON");
  refuse_value("retain_files", "[1]", "expected");
  refuse_value("retain_files", R"([{"name":"r","xxh3":"0","records":-1,"tokens":1}])", "key");
  refuse_value("retain_fields", "1", "expected a list of texts");
  refuse_value("retain_fields", "[1]", "expected a list of texts");
  // The tensors of a site, each by itself.
  const std::string site = "layers.0.attention_input.";
  for (const char* part : {"count", "weight", "mean_sum", "largest_token"}) {
    refuse_header(
        [&](json& header) {
          header["layers.0.of_nothing"] = header[site + part];
          header.erase(site + part);
        },
        "tensor '" + site + part + "': missing");
    refuse_header([&](json& header) { header[site + part]["shape"].push_back(1); },
                  "tensor '" + site + part + "': expected ");
  }
  refuse_header(
      [&](json& header) {
        header[site + "of_nothing"] = header[site + "sum"];
        header.erase(site + "sum");
      },
      "belongs to no moments file");
  refuse_header(
      [&](json& header) {
        header[site + "sum"]["shape"] = {16, 64};
      },
      "is no moment: shape [16, 64]");
}

TEST_F(MalformedDescription, ArchitectureIsEscapedOnTheTerminal) {
  describe(R"({"architecture":"Odd\u001b[31m","parameters":{}})");
  const std::string printed = succeed(
      {"inspect", "--base", base(), "--unlearned", unlearned(), "--moments", moments(), "-q"});
  EXPECT_NE(printed.find("(Odd\\u{1b}[31m)"), std::string::npos) << printed;
}

class DescribedModel : public MalformedDescription {};

TEST_P(DescribedModel, ContradictsTheBase) {
  describe(GetParam().bytes);
  refuse(sanitize_with_moments(), 3, {base().string(), GetParam().message});
}

INSTANTIATE_TEST_SUITE_P(Descriptions, DescribedModel,
                         ::testing::ValuesIn(std::vector<Malformed>{
                             {"TensorThatIsMissing", kMoments,
                              described(R"({"kind":"linear","site":"layers.0.attention_input"})",
                                        R"(,"odd.weight":{"kind":"bias"})"),
                              "tensor 'odd.weight' is missing, which"},
                             {"MatrixAsABias", kMoments, described(R"({"kind":"bias"})"),
                              "F32 [32, 32] cannot be a bias"},
                         }),
                         name_of);

class MalformedAdapter : public MalformedFile {};

TEST_P(MalformedAdapter, IsRefused) {
  fs::remove_all(unlearned());
  const std::string module = "base_model.model.model.layers.0.self_attn.q_proj.lora_";
  const std::vector<float> factor(64, 0.1F);
  const auto bytes = std::as_bytes(std::span(factor));
  fs::create_directory(root_ / "adapter");
  write_safetensors(root_ / "adapter/adapter_model.safetensors",
                    {{module + "A.weight", DType::kF32, {2, 32}, bytes},
                     {module + "B.weight", DType::kF32, {32, 2}, bytes}});
  fs::rename(root_ / "adapter", unlearned());
  refuse_file({"inspect", "--base", base(), "--unlearned", unlearned()});
}

/// Which of them was meant, nobody knows.
TEST_F(MalformedAdapter, BesideAWholeModel) {
  testing::write_file(unlearned() / "adapter_config.json",
                      testing::adapter_configuration(2, 4).dump());
  const std::string message = unlearned().string() +
                              ": holds an adapter (adapter_config.json) and a whole model "
                              "(model.safetensors)";
  refuse(sanitize(), 3, {message});
  refuse({"inspect", "--base", base(), "--unlearned", unlearned()}, 3, {message});
  refuse({"evaluate", "--model", unlearned(), "--data", "a=" + retain().string()}, 3, {message});
  refuse({"collect", "--base", unlearned(), "--retain", retain(), "--out", root_ / "m"}, 3,
         {message});
}

const std::string kAdapter = "unlearned/adapter_config.json";

INSTANTIATE_TEST_SUITE_P(
    Adapters, MalformedAdapter,
    ::testing::ValuesIn(std::vector<Malformed>{
        {"NoRank", kAdapter, R"({"peft_type":"LORA","lora_alpha":4})", "key 'r'"},
        {"NegativeRank", kAdapter, R"({"peft_type":"LORA","r":-2,"lora_alpha":4})", "key 'r'"},
        {"NoLora", kAdapter, R"({"peft_type":"IA3","r":2,"lora_alpha":4})", "IA3"},
        {"MistypedAlpha", kAdapter, R"({"peft_type":"LORA","r":2,"lora_alpha":"4"})",
         "key 'lora_alpha'"},
        {"NoJson", kAdapter, "{", "not valid JSON"},
    }),
    name_of);

// --- Texts and tokenizers
// ------------------------------------------------------------------------------

class MalformedTexts : public MalformedFile {};

TEST_P(MalformedTexts, AreRefused) {
  refuse_file({"tokenize", "--model", base(), "--data", retain()});
}

const std::string kRetain = "retain.jsonl";

INSTANTIATE_TEST_SUITE_P(
    Records, MalformedTexts,
    ::testing::ValuesIn(std::vector<Malformed>{
        {"Empty", kRetain, "", "empty"},
        {"BlankOnly", kRetain, " \r\n\t\n", "nothing but white space"},
        {"NoUtf8", kRetain, "{\"text\":\"\xC3(\"}\n", "invalid UTF-8 at byte"},
        {"CutLastLine", kRetain, "{\"input_ids\":[1]}\n{\"input_ids\":[1", ":2: not valid JSON"},
        {"MissingField", kRetain, "{\"body\":\"b\"}\n", "--retain-fields"},
        {"NullField", kRetain, "{\"text\":null}\n", "expected text, found null"},
        {"Utf16WithoutAMark", kRetain, std::string("a\0b\0", 4), "NUL at byte 1"},
        {"Gzip", kRetain, "\x1F\x8B\x08" + std::string(20, '\0'), "gzip-compressed"},
        {"NegativeId", kRetain, "{\"input_ids\":[-1]}\n", "is negative"},
        {"AGigabyteLineThatNeverEnds", kRetain, "{\"text\":\"" + std::string(8 << 20, 'x'),
         ":1: not valid JSON"},
    }),
    name_of);

class MalformedTokenizer : public MalformedFile {};

TEST_P(MalformedTokenizer, IsRefused) {
  testing::write_file(retain(), "{\"text\":\"" + std::string(60, 'a') + "bc\"}\n");
  refuse_file({"tokenize", "--model", base(), "--data", retain()});
}

const std::string kTokenizer = "base/tokenizer.json";

std::string tokenizer(const json& vocabulary, const json& merges, const json& splitter = nullptr) {
  return json{{"version", "1.0"},
              {"added_tokens", json::array()},
              {"normalizer", nullptr},
              {"pre_tokenizer", splitter},
              {"post_processor", nullptr},
              {"decoder", nullptr},
              {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", merges}}}}
      .dump();
}

std::string with_normalizer(const json& normalizer) {
  json file = json::parse(tokenizer({{"a", 0}}, json::array()));
  file["normalizer"] = normalizer;
  return file.dump();
}

INSTANTIATE_TEST_SUITE_P(
    Tokenizers, MalformedTokenizer,
    ::testing::ValuesIn(std::vector<Malformed>{
        {"MergeOfUnknownTokens", kTokenizer, tokenizer({{"a", 0}}, {"a z"}),
         "'z' is not in the vocabulary"},
        {"DuplicateIds", kTokenizer, tokenizer({{"a", 0}, {"b", 0}}, json::array()),
         "the id 0 stands twice"},
        {"NegativeId", kTokenizer, tokenizer({{"a", -1}}, json::array()), "expected 0 to"},
        {"HugeId", kTokenizer, tokenizer({{"a", int64_t{1} << 40}}, json::array()),
         "found 1099511627776"},
        {"CatastrophicPattern", kTokenizer,
         tokenizer({{"a", 0}, {"b", 1}, {"c", 2}}, json::array(),
                   {{"type", "Split"},
                    {"pattern", {{"Regex", "(?:a|aa)+c"}}},
                    {"behavior", "Isolated"},
                    {"invert", false}}),
         "tokenizer.json"},
        {"NormalizersThatDoubleTheText", kTokenizer,
         with_normalizer({{"type", "Sequence"},
                          {"normalizers", std::vector<json>(40, {{"type", "Replace"},
                                                                 {"pattern", {{"String", "a"}}},
                                                                 {"content", "aa"}})}}),
         "normalizer: makes a text of 62 bytes one of"},
        {"UnknownComponent", kTokenizer, tokenizer({{"a", 0}}, json::array(), {{"type", "Bert"}}),
         "'Bert'"},
        {"NoJson", kTokenizer, "{\"model\":", "not valid JSON"},
    }),
    name_of);

}  // namespace
}  // namespace sagesan
