#include "sagesan/checkpoint/pickle_file.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "checkpoint/torch_archive.h"
#include "helpers/files.h"

namespace sagesan {
namespace {

namespace pickle = testing::pickle;
using testing::torch_archive;

/// Files that must load.
class PickleFileTest : public ::testing::Test {
 protected:
  PickleFile open(const std::string& bytes) {
    const auto path = root_ / fmt::format("{}.bin", count_++);
    testing::write_file(path, bytes);
    return PickleFile(path);
  }
  static std::string read(const PickleFile& file, const TensorInfo& tensor) {
    return read(file, tensor, 0, tensor.bytes);
  }
  static std::string read(const PickleFile& file, const TensorInfo& tensor, uint64_t start,
                          uint64_t count) {
    std::string bytes(count, '\0');
    file.read(tensor, start, std::as_writable_bytes(std::span(bytes)));
    return bytes;
  }
  static std::vector<std::string> names(const PickleFile& file) {
    std::vector<std::string> result;
    for (const TensorInfo& tensor : file.tensors()) result.push_back(tensor.name);
    return result;
  }
  /// A pickle that holds one float "w" in storage 0.
  static std::string one_float() {
    return pickle::tensor(pickle::storage("FloatStorage", "0", 1), 0, {1}, {1});
  }

  testing::TemporaryDirectory root_;
  int count_ = 0;
};

TEST_F(PickleFileTest, EveryStorageType) {
  struct Row {
    const char* storage;
    DType dtype;
    size_t bytes;
  };
  const Row rows[] = {
      {"FloatStorage", DType::kF32, 4},        {"DoubleStorage", DType::kF64, 8},
      {"HalfStorage", DType::kF16, 2},         {"BFloat16Storage", DType::kBF16, 2},
      {"LongStorage", DType::kI64, 8},         {"IntStorage", DType::kI32, 4},
      {"ShortStorage", DType::kI16, 2},        {"CharStorage", DType::kI8, 1},
      {"ByteStorage", DType::kU8, 1},          {"BoolStorage", DType::kBool, 1},
      {"ComplexFloatStorage", DType::kC64, 8},
  };
  const std::string data = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKL";
  for (const Row& row : rows) {
    const std::string bytes = data.substr(0, 6 * row.bytes);
    const PickleFile file = open(torch_archive(
        pickle::dict({pickle::text("w"),
                      pickle::tensor(pickle::storage(row.storage, "0", 6), 2, {2, 2}, {2, 1})}),
        {{"0", bytes}}));
    ASSERT_EQ(file.tensors().size(), 1U) << row.storage;
    EXPECT_EQ(file.tensors()[0].dtype, row.dtype);
    EXPECT_EQ(file.tensors()[0].shape, (std::vector<int64_t>{2, 2}));
    EXPECT_EQ(read(file, file.tensors()[0]), bytes.substr(2 * row.bytes)) << row.storage;
  }
}

TEST_F(PickleFileTest, UntypedStoragesWithADType) {
  const std::pair<const char*, DType> rows[] = {
      {"float8_e4m3fn", DType::kF8E4M3},
      {"float8_e5m2", DType::kF8E5M2},
      {"float8_e4m3fnuz", DType::kF8E4M3Fnuz},
      {"float8_e5m2fnuz", DType::kF8E5M2Fnuz},
      {"float8_e8m0fnu", DType::kF8E8M0},
      {"uint16", DType::kU16},
      {"uint32", DType::kU32},
      {"uint64", DType::kU64},
  };
  for (const auto& [name, dtype] : rows) {
    const size_t bytes = static_cast<size_t>(dtype_bits(dtype)) / 8;
    const std::string data = std::string("0123456789abcdefghijklmn").substr(0, 3 * bytes);
    const PickleFile file = open(torch_archive(
        pickle::dict({pickle::text("w"),
                      pickle::typed_tensor(pickle::storage("UntypedStorage", "0", data.size()), 1,
                                           {2}, {1}, name)}),
        {{"0", data}}));
    ASSERT_EQ(file.tensors().size(), 1U) << name;
    EXPECT_EQ(file.tensors()[0].dtype, dtype) << name;
    EXPECT_EQ(read(file, file.tensors()[0]), data.substr(bytes)) << name;
  }
}

TEST_F(PickleFileTest, Protocol4And5) {
  const auto text = [](std::string_view value) {
    return "\x8c" + std::string(1, static_cast<char>(value.size())) + std::string(value) + "\x94";
  };
  const std::string size = "K\x02M\x02" + std::string("\0\x86\x94", 3);  // (2, 2)
  const std::string stride = "J\x02" + std::string("\0\0\0K\x01\x86\x94", 7);
  const std::string body = "}\x94" + text("w") + text("torch._utils") + text("_rebuild_tensor_v2") +
                           "\x93\x94((" + text("storage") + text("torch") + text("HalfStorage") +
                           "\x93\x94" + text("0") + text("cpu") + "K\x04t\x94QK" +
                           std::string(1, '\0') + size + stride + "\x89" + text("collections") +
                           text("OrderedDict") + "\x93\x94)R\x94t\x94R\x94s.";
  for (const char protocol : {'\x04', '\x05'}) {
    const std::string pickle = "\x80" + std::string(1, protocol) + "\x95" +
                               testing::bytes_of<uint64_t>(body.size()) + body;
    const PickleFile file = open(testing::zip(testing::archive_items(pickle, {{"0", "01234567"}})));
    ASSERT_EQ(file.tensors().size(), 1U);
    EXPECT_EQ(file.tensors()[0].shape, (std::vector<int64_t>{2, 2}));
    EXPECT_EQ(read(file, file.tensors()[0]), "01234567");
  }
}

TEST_F(PickleFileTest, TensorsComeInTheOrderOfTheirBytesAndTiedOnesTwice) {
  const std::string shared = pickle::storage("ByteStorage", "0", 4) + "q" + std::string(1, '\0');
  const std::string again = "h" + std::string(1, '\0');
  const PickleFile file = open(torch_archive(
      pickle::dict({pickle::text("z"),
                    pickle::tensor(pickle::storage("ByteStorage", "1", 2), 0, {2}, {1}),
                    pickle::text("head"), pickle::tensor(shared, 0, {4}, {1}), pickle::text("tail"),
                    pickle::tensor(again, 2, {2}, {1}), pickle::text("embed"),
                    pickle::tensor(again, 0, {2, 2}, {2, 1})}),
      {{"0", "abcd"}, {"1", "ef"}}));
  EXPECT_EQ(names(file), (std::vector<std::string>{"head", "embed", "tail", "z"}));
  EXPECT_EQ(read(file, file.tensors()[0]), "abcd");
  EXPECT_EQ(read(file, file.tensors()[1]), "abcd");
  EXPECT_EQ(read(file, file.tensors()[2]), "cd");
  EXPECT_EQ(read(file, file.tensors()[3]), "ef");
  EXPECT_EQ(file.tensors()[0].offset, file.tensors()[1].offset);
  EXPECT_EQ(file.file(), nullptr);
}

TEST_F(PickleFileTest, ScalarsAndEmptyTensors) {
  const PickleFile file = open(torch_archive(
      pickle::dict({pickle::text("scalar"),
                    pickle::tensor(pickle::storage("FloatStorage", "0", 2), 1, {}, {}),
                    pickle::text("empty"),
                    pickle::tensor(pickle::storage("FloatStorage", "1", 0), 0, {0, 7},
                                   {int64_t{1} << 62, int64_t{1} << 62})}),
      {{"0", "abcdefgh"}, {"1", ""}}));
  ASSERT_EQ(names(file), (std::vector<std::string>{"scalar", "empty"}));
  EXPECT_EQ(read(file, file.tensors()[0]), "efgh");
  EXPECT_TRUE(file.tensors()[0].shape.empty());
  EXPECT_EQ(file.tensors()[1].bytes, 0U);
  EXPECT_EQ(read(file, file.tensors()[1]), "");
}

TEST_F(PickleFileTest, AModulesStateDictWithMetadata) {
  const std::string parameter = pickle::call(pickle::global("torch._utils", "_rebuild_parameter"),
                                             {one_float(), "\x88", pickle::ordered_dict()});
  const std::string with_state =
      pickle::call(pickle::global("torch._utils", "_rebuild_parameter_with_state"),
                   {one_float(), "\x88", pickle::ordered_dict(), pickle::dict({})});
  const PickleFile file = open(torch_archive(
      pickle::ordered_dict() + "(" + pickle::text("a.weight") + parameter + pickle::text("b") +
          with_state + pickle::text("steps") + pickle::number(3) + pickle::text("extra") + "N" +
          pickle::text("kind") + pickle::text("llama") + pickle::text("flag") + "\x88" +
          pickle::text("dtype") + pickle::global("torch", "float32") + "u" +
          pickle::dict({pickle::text("_metadata"), pickle::ordered_dict()}) + "b",
      {{"0", "abcd"}}));
  EXPECT_EQ(names(file), (std::vector<std::string>{"a.weight", "b"}));
  EXPECT_EQ(read(file, file.tensors()[0]), "abcd");
}

TEST_F(PickleFileTest, TrainingCheckpoints) {
  for (const char* key : {"state_dict", "model_state_dict", "model", "module"}) {
    const PickleFile file = open(torch_archive(
        pickle::dict(
            {pickle::text("epoch"),
             pickle::number(3),
             pickle::text("loss"),
             "G" + std::string(8, '\x3f'),
             pickle::text("best"),
             "N",
             pickle::text("seed"),
             std::string("\x8b\x0a\0\0\0", 5) + std::string(10, '\x01'),
             pickle::text("name"),
             pickle::text("run"),
             pickle::text("blob"),
             "C\x03xyz",
             pickle::number(7),
             "N",
             pickle::text("shape"),
             pickle::call(pickle::global("torch", "Size"), {pickle::numbers({1, 2})}),
             pickle::text("args"),
             pickle::dict({pickle::text("lr"), pickle::number(1)}),
             pickle::text(key),
             pickle::dict({pickle::text("w"), one_float()}),
             pickle::text("optimizer"),
             pickle::dict({pickle::text("state"),
                           pickle::dict({pickle::number(0),
                                         pickle::dict({pickle::text("exp_avg"), one_float()})}),
                           pickle::text("groups"), "](" + pickle::dict({}) + "e"})}),
        {{"0", "abcd"}}));
    EXPECT_EQ(names(file), std::vector<std::string>{"w"}) << key;
  }
}

TEST_F(PickleFileTest, WhatTheOptimizerHoldsIsNotLookedAt) {
  const std::string foreign =
      pickle::tensor(pickle::storage("ComplexDoubleStorage", "99", 5), -3, {1}, {-1});
  const PickleFile file = open(torch_archive(
      pickle::dict({pickle::text("model"), pickle::dict({pickle::text("w"), one_float()}),
                    pickle::text("optimizer"), pickle::dict({pickle::text("m"), foreign})}),
      {{"0", "abcd"}}));
  EXPECT_EQ(names(file), std::vector<std::string>{"w"});
}

TEST_F(PickleFileTest, ADictionaryThatHoldsItself) {
  const std::string self = "h" + std::string(1, '\0');
  const PickleFile file = open(torch_archive(
      "}q" + std::string(1, '\0') + "(" + pickle::text("model") +
          pickle::dict({pickle::text("w"), one_float()}) + pickle::text("itself") + self + "u",
      {{"0", "abcd"}}));
  EXPECT_EQ(names(file), std::vector<std::string>{"w"});
}

TEST_F(PickleFileTest, EveryKindOfZip) {
  const std::string data_pkl = pickle::whole(pickle::dict({pickle::text("w"), one_float()}));
  for (const bool zip64 : {false, true}) {
    for (const uint16_t flags : {0, 8, 0x808}) {
      auto items = testing::archive_items(data_pkl, {{"0", "abcd"}});
      for (testing::ZipItem& item : items) {
        item.zip64 = zip64;
        item.flags = flags;
        item.padding = "FB\x05" + std::string("\0ZZZZZ", 6);
      }
      items.push_back({"m/data/", ""});
      const PickleFile file = open(testing::zip(items, {.zip64 = zip64}));
      ASSERT_EQ(file.tensors().size(), 1U);
      EXPECT_EQ(read(file, file.tensors()[0]), "abcd");
    }
  }
}

TEST_F(PickleFileTest, OldArchivesWithoutAByteOrder) {
  auto items = testing::archive_items(pickle::whole(pickle::dict({pickle::text("w"), one_float()})),
                                      {{"0", "abcd"}});
  items.erase(items.begin() + 1);
  EXPECT_EQ(names(open(testing::zip(items))), std::vector<std::string>{"w"});
}

/// Random views of a storage, read in random parts, against the definition.
TEST_F(PickleFileTest, ViewsOfEveryKind) {
  std::mt19937 random(7);
  const auto upto = [&](int64_t most) {
    return std::uniform_int_distribution<int64_t>(0, most)(random);
  };
  const std::pair<const char*, size_t> types[] = {
      {"ByteStorage", 1}, {"HalfStorage", 2}, {"FloatStorage", 4}, {"DoubleStorage", 8}};
  for (int round = 0; round < 200; ++round) {
    const auto& [type, element] = types[upto(3)];
    const int64_t storage_elements = 1 + upto(60'000);
    std::string data(static_cast<size_t>(storage_elements) * element, '\0');
    for (char& c : data) c = static_cast<char>(random());
    // A contiguous tensor: sliced with steps, expanded, its dimensions swapped.
    const auto dimensions = static_cast<size_t>(upto(4));
    std::vector<int64_t> shape(dimensions), strides(dimensions);
    int64_t stride = 1;
    for (size_t i = dimensions; i-- > 0;) {
      shape[i] = 1 + upto(std::min<int64_t>(storage_elements / stride - 1, i % 2 ? 200 : 12));
      strides[i] = stride;
      stride *= shape[i];
    }
    int64_t offset = upto(storage_elements - stride);
    for (size_t i = 0; i < dimensions; ++i) {
      const int64_t first = upto(shape[i] - 1);
      const int64_t step = 1 + upto(2);
      if (upto(2) == 0) {
        offset += first * strides[i];
        shape[i] = (shape[i] - first - 1) / step + 1;
        strides[i] *= step;
      } else if (upto(5) == 0) {
        strides[i] = 0;
      }
    }
    for (size_t i = 0; i < dimensions; ++i) {
      const auto j = static_cast<size_t>(upto(static_cast<int64_t>(dimensions) - 1));
      std::swap(shape[i], shape[j]);
      std::swap(strides[i], strides[j]);
    }
    std::string expected;
    const int64_t elements =
        std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
    for (int64_t logical = 0; logical < elements; ++logical) {
      int64_t position = offset;
      int64_t rest = logical;
      for (size_t i = dimensions; i-- > 0;) {
        position += rest % shape[i] * strides[i];
        rest /= shape[i];
      }
      expected += data.substr(static_cast<size_t>(position) * element, element);
    }
    const PickleFile file = open(torch_archive(
        pickle::dict(
            {pickle::text("w"),
             pickle::tensor(pickle::storage(type, "0", storage_elements), offset, shape, strides)}),
        {{"0", data}}));
    const TensorInfo& tensor = file.tensors()[0];
    const std::string what =
        fmt::format("round {}: {} of strides {}", round, shape_text(shape), shape_text(strides));
    ASSERT_EQ(tensor.bytes, expected.size()) << what;
    ASSERT_TRUE(read(file, tensor) == expected) << what;
    for (int part = 0; part < 10; ++part) {
      const auto start = static_cast<uint64_t>(upto(static_cast<int64_t>(tensor.bytes)));
      const auto count = static_cast<uint64_t>(upto(static_cast<int64_t>(tensor.bytes - start)));
      ASSERT_TRUE(read(file, tensor, start, count) == expected.substr(start, count)) << what;
    }
  }
}

/// Larger than what is read at once, so that it is taken apart.
TEST_F(PickleFileTest, LargeTransposedAndSlicedTensors) {
  const int64_t rows = 1500;
  const int64_t columns = 1100;
  std::vector<float> values(static_cast<size_t>(rows * columns));
  std::iota(values.begin(), values.end(), 0.F);
  const std::string storage = pickle::storage("FloatStorage", "0", rows * columns);
  const PickleFile file = open(torch_archive(
      pickle::dict(
          {pickle::text("a.transposed"), pickle::tensor(storage, 0, {columns, rows}, {1, columns}),
           pickle::text("b.columns"), pickle::tensor(storage, 3, {rows, 100}, {columns, 1}),
           pickle::text("c.column"), pickle::tensor(storage, 5, {rows}, {columns})}),
      {{"0", {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)}}}));
  const auto at = [&](const std::string& bytes, int64_t i) {
    float value = 0;
    std::memcpy(&value, bytes.data() + i * 4, 4);
    return value;
  };
  const std::string transposed = read(file, file.tensors()[0]);
  const std::string sliced = read(file, file.tensors()[1]);
  const std::string column = read(file, file.tensors()[2]);
  for (int64_t i = 0; i < rows; ++i) {
    ASSERT_EQ(at(column, i), values[static_cast<size_t>(i * columns + 5)]);
    for (int64_t j = 0; j < columns; ++j) {
      const float value = values[static_cast<size_t>(i * columns + j)];
      ASSERT_EQ(at(transposed, j * rows + i), value);
      if (j >= 3 && j < 103) {
        ASSERT_EQ(at(sliced, i * 100 + j - 3), value);
      }
    }
  }
  EXPECT_EQ(read(file, file.tensors()[0], 4'000'001, 2'000'003),
            transposed.substr(4'000'001, 2'000'003));
}

}  // namespace
}  // namespace sagesan
