#include "sagesan/checkpoint/safetensors.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "helpers/files.h"
#include "sagesan/checkpoint/safetensors_writer.h"

namespace sagesan {
namespace {

using testing::safetensors;

/// Files that must load.
class Safetensors : public ::testing::Test {
 protected:
  SafetensorsFile open(const std::string& header, const std::string& data) {
    const auto path = root_ / fmt::format("{}.safetensors", count_++);
    testing::write_file(path, safetensors(header, data));
    return SafetensorsFile(path);
  }
  static std::string read(const SafetensorsFile& file, const TensorInfo& tensor) {
    std::string bytes(tensor.bytes, '\0');
    file.read(tensor, 0, std::as_writable_bytes(std::span(bytes)));
    return bytes;
  }

  testing::TemporaryDirectory root_;
  int count_ = 0;
};

/// Whose first bytes are those of a pickle.
TEST_F(Safetensors, HeaderOf640Bytes) {
  std::string header = R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  header.resize(640, ' ');
  const SafetensorsFile file = open(header, "abcd");
  ASSERT_EQ(file.tensors().size(), 1U);
  EXPECT_EQ(read(file, file.tensors()[0]), "abcd");
}

TEST_F(Safetensors, EveryDTypeOfTheFormat) {
  struct Row {
    const char* name;
    DType dtype;
    int bits;
  };
  const Row rows[] = {
      {"BOOL", DType::kBool, 8},
      {"F4", DType::kF4, 4},
      {"F6_E2M3", DType::kF6E2M3, 6},
      {"F6_E3M2", DType::kF6E3M2, 6},
      {"U8", DType::kU8, 8},
      {"I8", DType::kI8, 8},
      {"F8_E5M2", DType::kF8E5M2, 8},
      {"F8_E4M3", DType::kF8E4M3, 8},
      {"F8_E8M0", DType::kF8E8M0, 8},
      {"F8_E4M3FNUZ", DType::kF8E4M3Fnuz, 8},
      {"F8_E5M2FNUZ", DType::kF8E5M2Fnuz, 8},
      {"I16", DType::kI16, 16},
      {"U16", DType::kU16, 16},
      {"F16", DType::kF16, 16},
      {"BF16", DType::kBF16, 16},
      {"I32", DType::kI32, 32},
      {"U32", DType::kU32, 32},
      {"F32", DType::kF32, 32},
      {"C64", DType::kC64, 64},
      {"F64", DType::kF64, 64},
      {"I64", DType::kI64, 64},
      {"U64", DType::kU64, 64},
  };
  for (const Row& row : rows) {
    const int bytes = 2 * 4 * row.bits / 8;  // [2, 4]: whole bytes for the packed types too
    const std::string data(static_cast<size_t>(bytes), 'd');
    const SafetensorsFile file =
        open(fmt::format(R"({{"t":{{"dtype":"{}","shape":[2,4],"data_offsets":[0,{}]}}}})",
                         row.name, bytes),
             data);
    ASSERT_EQ(file.tensors().size(), 1U) << row.name;
    EXPECT_EQ(file.tensors()[0].dtype, row.dtype) << row.name;
    EXPECT_EQ(file.tensors()[0].bytes, static_cast<uint64_t>(bytes)) << row.name;
    EXPECT_EQ(file.tensors()[0].elements(), 8) << row.name;
    EXPECT_EQ(dtype_name(file.tensors()[0].dtype), row.name);
    EXPECT_EQ(read(file, file.tensors()[0]), data) << row.name;
  }
}

TEST_F(Safetensors, ScalarsAndEmptyTensors) {
  const SafetensorsFile file =
      open(R"({"empty":{"dtype":"F32","shape":[0,7],"data_offsets":[4,4]},)"
           R"("scalar":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
           R"("void":{"dtype":"F4","shape":[3,0],"data_offsets":[4,4]}})",
           "abcd");
  ASSERT_EQ(file.tensors().size(), 3U);
  EXPECT_EQ(file.tensors()[0].name, "scalar");
  EXPECT_TRUE(file.tensors()[0].shape.empty());
  EXPECT_EQ(file.tensors()[0].elements(), 1);
  EXPECT_EQ(read(file, file.tensors()[0]), "abcd");
  EXPECT_EQ(file.tensors()[1].bytes, 0U);
  EXPECT_EQ(file.tensors()[1].elements(), 0);
  EXPECT_EQ(file.tensors()[2].bytes, 0U);
}

TEST_F(Safetensors, NoTensorAtAll) {
  EXPECT_TRUE(open("{}", "").tensors().empty());
  EXPECT_TRUE(open(R"({"__metadata__":{}})", "").tensors().empty());
}

TEST_F(Safetensors, TensorsComeInTheOrderOfTheirBytes) {
  const SafetensorsFile file = open(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[3,5]},)"
                                    R"("b":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}})",
                                    "bbbaa");
  ASSERT_EQ(file.tensors().size(), 2U);
  EXPECT_EQ(file.tensors()[0].name, "b");
  EXPECT_EQ(read(file, file.tensors()[0]), "bbb");
  EXPECT_EQ(read(file, file.tensors()[1]), "aa");
  EXPECT_EQ(file.tensors()[1].offset, file.header_bytes() + 3);
}

TEST_F(Safetensors, ReadsAPart) {
  const SafetensorsFile file =
      open(R"({"a":{"dtype":"U8","shape":[6],"data_offsets":[0,6]}})", "012345");
  std::string part(2, '\0');
  file.read(file.tensors()[0], 3, std::as_writable_bytes(std::span(part)));
  EXPECT_EQ(part, "34");
}

TEST_F(Safetensors, MetadataAndPaddingSpaces) {
  const std::string header = R"({"__metadata__":{"format":"pt","\u00e9":""},)"
                             R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}      )";
  const SafetensorsFile file = open(header, "x");
  EXPECT_EQ(file.metadata(),
            (std::map<std::string, std::string>{{"format", "pt"}, {"\u00e9", ""}}));
  EXPECT_EQ(file.header_bytes(), 8 + header.size());
}

TEST_F(Safetensors, NamesOfAnyScript) {
  const SafetensorsFile file =
      open(R"({"\u5c64.0":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x");
  EXPECT_EQ(file.tensors()[0].name, "\u5c64.0");
}

TEST_F(Safetensors, WrittenFilesAreReadBack) {
  const std::string a = "abcdefgh";
  const std::string b = "ij";
  write_safetensors(root_ / "w",
                    {{"z", DType::kF32, {2, 1}, std::as_bytes(std::span(a))},
                     {"a", DType::kU8, {2}, std::as_bytes(std::span(b))},
                     {"empty", DType::kF16, {0}, {}}},
                    {{"format", "pt"}});
  const SafetensorsFile file(root_ / "w");
  ASSERT_EQ(file.tensors().size(), 3U);
  EXPECT_EQ(file.tensors()[0].name, "z");
  EXPECT_EQ(file.tensors()[0].shape, (std::vector<int64_t>{2, 1}));
  EXPECT_EQ(read(file, file.tensors()[0]), a);
  EXPECT_EQ(read(file, file.tensors()[1]), b);
  EXPECT_EQ(file.metadata().at("format"), "pt");
  EXPECT_EQ(file.header_bytes() % 8, 0U);
}

}  // namespace
}  // namespace sagesan
