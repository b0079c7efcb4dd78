#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "checkpoint/torch_archive.h"
#include "helpers/files.h"
#include "sagesan/checkpoint/pickle_file.h"

namespace sagesan {
namespace {

namespace pickle = testing::pickle;
using testing::archive_items;
using testing::torch_archive;
using testing::zip;
using testing::ZipItem;

constexpr const char* kConvert =
    "load it in Python with torch.load, if you trust it, and save it with "
    "safetensors.torch.save_file";

class MalformedPickle : public ::testing::Test {
 protected:
  std::filesystem::path path() const { return root_ / "pytorch_model.bin"; }
  /// A new file each time: ext4 flushes one that is written over.
  void write(const std::string& bytes) {
    std::filesystem::remove(path());
    testing::write_file(path(), bytes);
  }
  /// Opens a file of these bytes, which must be refused with `fragment`; returns the message.
  std::string refuse(const std::string& bytes, const std::string& fragment) {
    write(bytes);
    return testing::expect_input_error([&] { PickleFile{path()}; }, path().string() + ": ",
                                       fragment);
  }
  /// The same for an archive with these bytes as its pickle, behind the protocol.
  std::string refuse_opcodes(const std::string& opcodes, const std::string& fragment) {
    return refuse(zip(archive_items("\x80\x02" + opcodes, {{"0", "abcd"}})), fragment);
  }
  /// For a pickle of one value.
  std::string refuse_value(const std::string& value, const std::string& fragment) {
    return refuse(torch_archive(value, {{"0", "abcdefghijklmnop"}}), fragment);
  }
  /// For a tensor "w" of one dictionary; storage 0 has 16 bytes.
  std::string refuse_tensor(const std::string& tensor, const std::string& fragment) {
    std::string message = refuse_value(pickle::dict({pickle::text("w"), tensor}), fragment);
    EXPECT_NE(message.find(": tensor 'w': "), std::string::npos) << message;
    return message;
  }
  std::string refuse_view(int64_t offset, const std::vector<int64_t>& shape,
                          const std::vector<int64_t>& strides, const std::string& fragment) {
    return refuse_tensor(pickle::tensor(floats(4), offset, shape, strides), fragment);
  }
  static std::string floats(int64_t elements) {
    return pickle::storage("FloatStorage", "0", elements);
  }
  static std::string good_tensor() { return pickle::tensor(floats(4), 0, {2, 2}, {2, 1}); }
  static std::string good_pickle() {
    return pickle::whole(pickle::dict({pickle::text("w"), good_tensor()}));
  }
  static std::vector<ZipItem> good_items() {
    return archive_items(good_pickle(), {{"0", "abcdefghijklmnop"}});
  }
  /// An archive whose entries were tampered with.
  std::string refuse_items(const std::function<void(std::vector<ZipItem>&)>& change,
                           const std::string& fragment) {
    std::vector<ZipItem> items = good_items();
    change(items);
    return refuse(zip(items), fragment);
  }
  /// Opens and reads everything: an `InputError` at most. Whether it opened.
  bool survive(const std::string& bytes) {
    write(bytes);
    try {
      const PickleFile file(path());
      for (const TensorInfo& tensor : file.tensors()) {
        EXPECT_LE(tensor.bytes, uint64_t{1} << 20);
        std::vector<std::byte> data(tensor.bytes);
        file.read(tensor, 0, data);
      }
      return true;
    } catch (const InputError&) {
      return false;
    }
  }

  testing::TemporaryDirectory root_;
};

// What the file is.

TEST_F(MalformedPickle, OtherFormatsAreNamed) {
  refuse("", "is no zip archive, expected a PyTorch checkpoint");
  refuse("abc", "is no zip archive");
  refuse(testing::safetensors("{}"), "is no zip archive");
  refuse("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
         "is a git-LFS pointer (run 'git lfs pull' to get the file itself)");
  refuse("<!DOCTYPE html><html></html>", "is an HTML page (the download failed)");
  refuse("GGUF\x03" + std::string(30, '\0'), "is a GGUF file");
  refuse("\x1F\x8B\x08" + std::string(30, '\0'), "is gzip-compressed");
  refuse(std::string("\x80\x02\x8a\nl\xfc\x9c") + "F\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.",
         std::string("is a PyTorch checkpoint in the format before torch 1.6: ") + kConvert);
  refuse(good_pickle(),
         std::string("is a plain Python pickle, not what torch.save writes: ") + kConvert);
  refuse("\x80\x05N.", "is a plain Python pickle");
  refuse("PK\x05\x06" + std::string(18, '\0'), "is no zip archive");  // an empty one
}

TEST_F(MalformedPickle, NotAFile) {
  testing::expect_input_error([&] { PickleFile{root_.path()}; }, root_.path().string(),
                              "is a directory, expected a file");
  testing::expect_input_error([] { PickleFile{"/dev/zero"}; }, "/dev/zero", "is no regular file");
}

TEST_F(MalformedPickle, ArchivesThatAreNoCheckpoint) {
  const char* none = "is a zip archive, but no PyTorch checkpoint";
  refuse(zip({{"a.txt", "x"}}), none);
  refuse(zip({{"m/a.txt", "x"}}), none);
  refuse(zip({{"data.pkl", good_pickle()}, {"version", "3\n"}}), none);
  refuse_items([](auto& items) { items.push_back({"n/data.pkl", good_pickle()}); }, none);
  refuse_items([](auto& items) { items.push_back({"readme", ""}); }, none);
  refuse_items([](auto& items) { items.push_back({"", ""}); }, none);
  for (const char* name : {"m/code/__torch__.py", "m/constants.pkl"}) {
    const std::string message = refuse_items(
        [&](auto& items) {
          items.push_back({name, ""});
        },
        "is a TorchScript archive");
    EXPECT_NE(message.find("torch.jit.load"), std::string::npos);
  }
  for (const char* version : {"", "x", "0", "-3", "11", "99999999999999"}) {
    refuse_items([&](auto& items) { items.back().data = version; },
                 fmt::format("the entry 'version' says '{}', expected 1 to 10", version));
  }
  refuse_items([](auto& items) { items.pop_back(); }, "the entry 'version' says ''");
  refuse_items([](auto& items) { items.back().data = std::string(17, '3'); },
               "version: 17 bytes long; at most 16 are read");
  refuse_items([](auto& items) { items[1].data = "big"; },
               "its byte order is 'big', only 'little' is read: load it in Python");
  refuse_items([](auto& items) { items[1].data = "\x1b[31m"; }, "its byte order is '\\u{1b}[31m'");
  refuse_items([](auto& items) { items[1].data = ""; }, "its byte order is ''");
}

// The zip archive.

TEST_F(MalformedPickle, TruncatedAnywhere) {
  for (const bool zip64 : {false, true}) {
    auto items = good_items();
    for (ZipItem& item : items) {
      item.zip64 = zip64;
      item.flags = 8;
    }
    const std::string whole = zip(items, {.zip64 = zip64});
    ASSERT_TRUE(survive(whole));
    for (size_t length = 0; length < whole.size(); ++length) {
      const std::string rest = whole.substr(0, length);
      refuse(rest, length < 4 ? "is no zip archive" : "a zip archive without its end: truncated");
    }
  }
}

TEST_F(MalformedPickle, APickleTruncatedAnywhere) {
  const std::string whole = good_pickle();
  for (size_t length = 0; length < whole.size(); ++length) {
    refuse(zip(archive_items(whole.substr(0, length), {{"0", "abcdefghijklmnop"}})),
           length < 2 ? "no pickle of protocol 2 to 5" : "truncated");
  }
}

TEST_F(MalformedPickle, TruncatedWhileItIsRead) {
  testing::write_file(path(), zip(good_items()));
  const PickleFile file(path());
  std::filesystem::resize_file(path(), file.tensors()[0].offset + 3);
  std::vector<std::byte> data(16);
  testing::expect_input_error([&] { file.read(file.tensors()[0], 0, data); }, path().string(),
                              "truncated: ends at byte");
}

TEST_F(MalformedPickle, TheEndOfTheArchive) {
  refuse(zip(good_items()) + "x", "without its end: truncated, or something was appended");
  refuse(zip(good_items()) + zip(good_items()), "the zip directory claims bytes");
  refuse("PK\x03\x04" + zip(good_items()), "the zip directory claims bytes");
  refuse(zip(good_items(), {.comment = "hello"}), "something was appended");
  refuse(zip(good_items(), {.entries = 3}), "the zip directory holds 4 entries and claims 3");
  refuse(zip(good_items(), {.entries = 0}), "the zip directory holds 4 entries and claims 0");
}

TEST_F(MalformedPickle, HugeClaims) {
  const uint32_t most = 0xFFFFFFFF;
  refuse(zip(good_items(), {.directory_bytes = most}), "the zip directory claims bytes");
  refuse(zip(good_items(), {.directory_offset = most}),
         "the zip directory claims bytes 4294967295");
  refuse(zip(good_items(), {.directory_bytes = most, .directory_offset = most}),
         "the zip directory claims");
  refuse(zip(good_items(), {.zip64 = true, .zip64_bytes = ~uint64_t{0}}),
         "the zip directory claims bytes");
  refuse(zip(good_items(), {.zip64 = true, .zip64_offset = ~uint64_t{0}}),
         "the zip64 end record is not where its locator says");
  refuse(zip(good_items(), {.zip64 = true, .zip64_offset = 0}),
         "the zip64 end record is not where its locator says");
  refuse(zip(good_items(), {.zip64 = true, .directory_bytes = 7}),
         "the two end records of the zip archive differ");
  refuse(zip(good_items(), {.zip64 = true, .directory_offset = 7}),
         "the two end records of the zip archive differ");
  refuse(zip(good_items(), {.zip64 = true, .entries = 3}),
         "the two end records of the zip archive differ");
  refuse_items([&](auto& items) { items[2].bytes = items[2].local_bytes = most; },
               "zip entry 'm/data/0': claims 4294967295 bytes, which lie outside the file");
  refuse_items([&](auto& items) { items[0].bytes = items[0].local_bytes = 1U << 31; },
               "zip entry 'm/data.pkl': claims 2147483648 bytes");
  refuse_items([&](auto& items) { items[2].offset = most; }, "lies outside the file");
  std::vector<ZipItem> long_names;
  for (int i = 0; i < 300; ++i) long_names.push_back({std::string(60'000, 'n'), ""});
  refuse(zip(long_names), "bytes; at most 16777216 are read");
  refuse_items([](auto& items) { items[0].data = std::string((64 << 20) + 1, 'N'); },
               "data.pkl: 67108865 bytes long; at most 67108864 are read");
}

TEST_F(MalformedPickle, Entries) {
  refuse_items([](auto& items) { items[2].method = 8; },
               std::string("zip entry 'm/data/0': compressed (method 8), which torch.save does not "
                           "do: ") +
                   kConvert);
  refuse_items([](auto& items) { items[0].flags = 1; },
               "zip entry 'm/data.pkl': encrypted, or of unknown kind");
  refuse_items([](auto& items) { items[0].flags = 1 << 13; }, "encrypted, or of unknown kind");
  refuse_items([](auto& items) { items[2].compressed_bytes = 3; },
               "zip entry 'm/data/0': a stored entry with two different sizes");
  refuse_items([](auto& items) { items.push_back(items[2]); },
               "zip entry 'm/data/0': stands twice in the zip directory");
  refuse_items([](auto& items) { items[2].name = "m/data.pkl"; }, "stands twice");
  refuse_items(
      [](auto& items) {
        items.push_back(items[2]);
        items.back().name = "m/data/1";
        items.back().offset = 0;
      },
      "overlaps another one");
  const char* differs = "zip entry 'm/data/0': its local header differs from the zip directory";
  refuse_items([](auto& items) { items[2].local_name = "m/data/1"; }, differs);
  refuse_items([](auto& items) { items[2].local_name = "m/data/01"; }, differs);
  refuse_items([](auto& items) { items[2].local_flags = 8; }, differs);
  refuse_items([](auto& items) { items[2].local_bytes = 15; }, differs);
  refuse_items([](auto& items) { items[0].offset = 1; }, "differs from the zip directory");
  refuse_items([](auto& items) { items[2].name += "\x1b[31m", items[2].method = 8; },
               "m/data/0\\u{1b}");
}

TEST_F(MalformedPickle, EntriesThatOverlapByASize) {
  // The directory gives the first entry the bytes of the second as well.
  refuse_items([](auto& items) { items[1].bytes = items[1].local_bytes = 60; },
               "zip entry 'm/data/0': overlaps another one");
}

// The pickle.

TEST_F(MalformedPickle, ForbiddenGlobals) {
  const auto run = [](const std::string& global) {
    return pickle::call(global, {pickle::text("touch /tmp/owned")});
  };
  refuse_value(run(pickle::global("os", "system")),
               std::string("data.pkl: byte 2: the pickle wants 'system' of the Python module 'os', "
                           "which is no tensor and not carried out: ") +
                   kConvert);
  refuse_value(run(pickle::global("posix", "system")), "'system' of the Python module 'posix'");
  refuse_value(run(pickle::global("builtins", "eval")), "'eval' of the Python module 'builtins'");
  refuse_value(run(pickle::text("os") + pickle::text("system") + "\x93"), "'system'");
  refuse_value(pickle::dict({pickle::text("w"), good_tensor(), pickle::text("x"),
                             run(pickle::global("os", "system"))}),
               "'system'");
  refuse_value(pickle::global("torch", "load"), "'load' of the Python module 'torch'");
  refuse_value(pickle::global("torch._utils", "_rebuild_tensor_v2.__globals__"),
               "'_rebuild_tensor");
  refuse_value(pickle::global("torch", "_utils._rebuild_tensor_v2"), "'_utils._rebuild_tensor_v2'");
  refuse_value(pickle::global("numpy.core.multiarray", "scalar"), "'scalar'");
  refuse_value(pickle::global("collections", "defaultdict"), "'defaultdict'");
  refuse_value(pickle::global("torch", "QInt8Storage"), "'QInt8Storage'");
  refuse_value(pickle::global("", ""), "wants '' of the Python module ''");
  refuse_value(pickle::global("os\x1b[31m", "\xff"),
               "'\\xff' of the Python module 'os\\u{1b}[31m'");
  refuse_value(pickle::global(std::string(1 << 20, 'm'), std::string(1 << 20, 'n')),
               "... (1048576 bytes)");
  refuse_value("cos", "a line without an end");
  refuse_value("K\x01K\x02\x93", "expected the name of a global");
}

TEST_F(MalformedPickle, OtherOpcodes) {
  // Protocols 0 and 1, extensions, classes, sets, out-of-band buffers: nothing of torch's.
  for (const char opcode : std::string("0123456789FILPSTUVWdgilop\x81\x82\x83\x84\x8f\x90\x91\x92"
                                       "\x97\x98\x99\xff") +
                               std::string(1, '\0')) {
    if (opcode >= '2' && opcode <= '9' && opcode != '2') continue;
    refuse_opcodes("NN" + std::string(1, opcode) + ".",
                   fmt::format("data.pkl: byte 4: opcode 0x{:02x} is none that torch.save writes",
                               static_cast<unsigned char>(opcode)));
  }
  refuse_opcodes("\x80\x02N.", "opcode 0x80");  // the protocol a second time
  for (const std::string start : {"\x80\x01", "\x80\x06", "\x80\xff", "}(", "N."}) {
    refuse(zip(archive_items(start + "N.", {})), "data.pkl: byte 0: no pickle of protocol 2 to 5");
  }
}

TEST_F(MalformedPickle, StackAndMarks) {
  refuse_opcodes("", "the pickle has no end: truncated");
  refuse_opcodes("N", "the pickle has no end: truncated");
  refuse_opcodes(".", "a value is missing");
  refuse_opcodes("NN.", "values are left over at the end");
  refuse_opcodes("(N.", "values are left over at the end");
  refuse_opcodes("N(.", "a value is missing");
  refuse_opcodes("N.N", "1 bytes after the end of the pickle");
  refuse_opcodes("N\x86.", "a value is missing");
  refuse_opcodes("N(N\x86.", "a value is missing");  // not through the mark
  refuse_opcodes("t.", "a mark is missing");
  refuse_opcodes("u.", "a mark is missing");
  refuse_opcodes("}(Nu.", "a key without a value");
  refuse_opcodes("(u.", "a value is missing");
  refuse_opcodes("N(NNu.", "items for what is no dictionary");
  refuse_opcodes("NNNs.", "items for what is no dictionary");
  refuse_opcodes("}Na.", "items for what is no list");
  refuse_opcodes("}(Ne.", "items for what is no list");
  refuse_opcodes("Na.", "a value is missing");
  refuse_opcodes("]}b.", "a state for what is no dictionary");
  refuse_opcodes("}b.", "a value is missing");
  refuse_opcodes("\x95" + testing::bytes_of(~uint64_t{0}) + "N.", "a frame past the end");
}

TEST_F(MalformedPickle, LengthsOfTexts) {
  refuse_opcodes(
      "X\xff\xff\xff\xff"
      "a.",
      "4294967295 bytes expected and only 2 follow: truncated");
  refuse_opcodes(
      "\x8c\xff"
      "a.",
      "255 bytes expected and only 2 follow");
  refuse_opcodes("\x8d" + testing::bytes_of(~uint64_t{0}) + "a.", "18446744073709551615 bytes");
  refuse_opcodes("\x8e" + testing::bytes_of(uint64_t{1} << 63) + "a.", "9223372036854775808 bytes");
  refuse_opcodes(
      "\x8b\xff\xff\xff\xff"
      "a.",
      "4294967295 bytes expected");
  refuse_opcodes(
      "\x8a\xff"
      "a.",
      "255 bytes expected");
  refuse_opcodes("J\x01.", "4 bytes expected and only 2 follow");
}

TEST_F(MalformedPickle, Memo) {
  const std::string zero(1, '\0');
  refuse_opcodes("h" + zero + ".", "memo 0 is asked for, but there are only 0");
  refuse_opcodes("Nq" + zero + "0h\x01.", "opcode 0x30");
  refuse_opcodes("]q" + zero +
                     "h\x01"
                     "a.",
                 "memo 1 is asked for, but there are only 1");
  refuse_opcodes("j\xff\xff\xff\xff.", "memo 4294967295 is asked for");
  refuse_opcodes("Nr\xff\xff\xff\xff.", "memo 4294967295 is set, but there are only 0");
  refuse_opcodes("Nq\x01.", "memo 1 is set, but there are only 0");
  refuse_opcodes("q" + zero + ".", "a value is missing");
  refuse_opcodes("\x94.", "a value is missing");
}

TEST_F(MalformedPickle, DepthCostsNothing) {
  const size_t deep = 100'000;
  refuse_opcodes(std::string(deep, '(') + ".", "a value is missing");
  refuse_opcodes(std::string(deep, ']') + std::string(deep - 1, 'a') + ".",
                 "holds a list, expected a dictionary");
  refuse_opcodes("N" + std::string(deep, '\x85') + ".", "holds a tuple");
  refuse_opcodes(std::string(deep, '(') + std::string(deep, 't') + ".", "holds a tuple");
  std::string dicts;
  for (size_t i = 0; i < deep; ++i) dicts += "}N";
  refuse_opcodes(dicts + "}" + std::string(deep, 's') + ".", "holds no tensors");
}

TEST_F(MalformedPickle, WhatHoldsItself) {
  const std::string zero(1, '\0');
  refuse_opcodes("]q" + zero + "h" + zero + "a.", "holds a list");
  refuse_opcodes("}q" + zero + pickle::text("model") + "h" + zero + "s.", "holds no tensors");
  refuse_opcodes("](h" + zero + "te.", "memo 0 is asked for");
}

TEST_F(MalformedPickle, TooManyValues) {
  const char* message = "more than 4194304 values";
  const size_t many = size_t{5} << 20;
  refuse_opcodes(std::string(many, 'N') + ".", message);
  refuse_opcodes(std::string(many, '(') + ".", message);
  refuse_opcodes(std::string(many, '}') + ".", message);
  refuse_opcodes(std::string(many, ')') + ".", message);
  refuse_opcodes("N" + std::string(many, '\x94') + ".", message);
  std::string growing = "]\x94(";
  for (size_t i = 0; i < many; ++i) growing.append("h\0", 2);
  refuse_opcodes(growing + "e.", message);
}

TEST_F(MalformedPickle, PersistentIds) {
  const auto id = [&](const std::vector<std::string>& items) { return pickle::tuple(items) + "Q"; };
  const std::string storage = pickle::text("storage");
  const std::string type = pickle::global("torch", "FloatStorage");
  const std::string key = pickle::text("0");
  const std::string cpu = pickle::text("cpu");
  const std::string four = pickle::number(4);
  refuse_value("Q", "a value is missing");
  refuse_value("NQ", "expected the tuple of a storage");
  refuse_value(id({}), "the tuple of a storage has 0 items, expected 5");
  refuse_value(id({storage, type, key, cpu, four, "N"}), "has 6 items, expected 5");
  refuse_value(id({pickle::text("module"), type, key, cpu, four}),
               "a persistent id that is no storage");
  refuse_value(id({"N", type, key, cpu, four}), "a persistent id that is no storage");
  refuse_value(id({storage, "N", key, cpu, four}), "a storage without a type");
  refuse_value(id({storage, pickle::global("torch", "float32"), key, cpu, four}),
               "a storage without a type");
  refuse_value(id({storage, type, four, cpu, four}), "a storage without a key");
  refuse_value(id({storage, type, pickle::text(""), cpu, four}), "a storage without a key");
  refuse_value(id({storage, type, pickle::text(std::string(65, '0')), cpu, four}),
               "a storage without a key");
  refuse_value(id({storage, type, key, cpu, "N"}), "a storage without a number of elements");
  refuse_value(id({storage, type, key, cpu, pickle::number(-1)}),
               "a storage without a number of elements");
}

TEST_F(MalformedPickle, Calls) {
  const auto rebuild = pickle::global("torch._utils", "_rebuild_tensor_v2");
  const std::string offset = pickle::number(0);
  const std::string two = pickle::numbers({2});
  const std::string no = "\x89";
  refuse_value("R", "a value is missing");
  refuse_value(rebuild + "NR", "expected the arguments of a call");
  refuse_value("N)R", "expected what is called");
  refuse_value(pickle::call(rebuild, {}), "_rebuild_tensor_v2 with 0 arguments");
  refuse_value(pickle::call(rebuild, {floats(4), offset, two, two, no}), "with 5 arguments");
  refuse_value(pickle::call(rebuild, {floats(4), offset, two, two, no, "N", "N", "N"}),
               "with 8 arguments");
  const char* types = "_rebuild_tensor_v2 with arguments of other types";
  refuse_value(pickle::call(rebuild, {"N", offset, two, two, no, "N"}), types);
  refuse_value(pickle::call(rebuild, {floats(4), "N", two, two, no, "N"}), types);
  refuse_value(pickle::call(rebuild, {floats(4), offset, "N", two, no, "N"}), types);
  refuse_value(pickle::call(rebuild, {floats(4), offset, two, "]", no, "N"}), types);
  const auto rebuild_v3 = pickle::global("torch._utils", "_rebuild_tensor_v3");
  refuse_value(pickle::call(rebuild_v3, {floats(4), offset, two, two, no, "N", "N"}),
               "_rebuild_tensor_v3 without a dtype");
  refuse_value(pickle::call(pickle::global("torch._utils", "_rebuild_parameter"), {"N", no, "N"}),
               "a parameter that is no tensor");
  refuse_value(pickle::call(pickle::global("torch._utils", "_rebuild_parameter"), {}),
               "_rebuild_parameter with 0 arguments");
  refuse_value(pickle::call(pickle::global("torch", "Size"), {"N"}), "a size that is no tuple");
  refuse_value(pickle::call(pickle::global("collections", "OrderedDict"), {"]"}),
               "OrderedDict with 1 arguments");
  refuse_value(pickle::call(pickle::global("torch", "FloatStorage"), {}),
               "FloatStorage is called, but is no function");
  refuse_value(pickle::call(pickle::global("torch", "float32"), {}),
               "float32 is called, but is no function");
}

// The dictionary of tensors.

TEST_F(MalformedPickle, TopValues) {
  refuse_value("N", "data.pkl: holds None, expected a dictionary of names and tensors: load it");
  refuse_value("]", "holds a list");
  refuse_value(")", "holds a tuple");
  refuse_value(pickle::text("a"), "holds a text");
  refuse_value(floats(4), "holds a storage");
  refuse_value(good_tensor(), "holds a tensor");
  refuse_value("}", "holds no tensors, at the top or under 'state_dict'");
  refuse_value(pickle::dict({pickle::text("model"), "}"}), "holds no tensors");
  refuse_value(
      pickle::dict({pickle::text("weights"), pickle::dict({pickle::text("w"), good_tensor()})}),
      "holds no tensors");
  const std::string model = pickle::dict({pickle::text("w"), good_tensor()});
  refuse_value(pickle::dict({pickle::text("model"), model, pickle::text("state_dict"), model}),
               "holds several models, 'model' and 'state_dict'");
  refuse_value(pickle::dict({pickle::text("model"), "N", pickle::text("model"), model}),
               "the member 'model' stands twice");
  refuse_value(pickle::dict({pickle::text("model"), pickle::dict({pickle::text("model"), model})}),
               "holds no tensors");
}

TEST_F(MalformedPickle, Members) {
  const auto refuse_member = [&](const std::string& member, const std::string& fragment) {
    refuse_value(pickle::dict({pickle::text("w"), good_tensor(), pickle::text("x"), member}),
                 fragment);
    refuse_value(
        pickle::dict({pickle::text("model"),
                      pickle::dict({pickle::text("w"), good_tensor(), pickle::text("x"), member})}),
        fragment);
  };
  refuse_member("}", "'x' is a dictionary, expected a tensor");
  refuse_member("]", "'x' is a list, expected a tensor");
  refuse_member(")", "'x' is a tuple, expected a tensor");
  refuse_member(floats(4), "'x' is a storage, expected a tensor");
  refuse_value(pickle::dict({pickle::text("w"), good_tensor(), "N", "N"}),
               "None is the name of None among the tensors, expected text");
  refuse_value(pickle::dict({pickle::number(1), good_tensor()}),
               "a number or the like is the name of a tensor among the tensors");
  refuse_value(pickle::dict({pickle::text("w"), good_tensor(), pickle::text("w"), good_tensor()}),
               "tensor 'w' stands twice");
  refuse_value(pickle::dict({pickle::text("w"), "N", pickle::text("w"), good_tensor()}),
               "tensor 'w' stands twice");
}

TEST_F(MalformedPickle, Names) {
  const auto refuse_name = [&](const std::string& name, const std::string& fragment) {
    refuse_value(pickle::dict({pickle::text(name), good_tensor()}), fragment);
  };
  refuse_name("", "a tensor has an empty name");
  refuse_name(std::string("a\0b", 3), "tensor 'a\\u{0}b': control characters in the name");
  refuse_name("a\x1b[31m", "tensor 'a\\u{1b}[31m': control characters in the name");
  refuse_name("\u202egpj", "tensor '\\u{202e}gpj': control characters in the name");
  refuse_name("\xff", "tensor '\\xff': control characters in the name");
  refuse_name("\xed\xa0\x80", "control characters in the name");  // a surrogate
  refuse_name(std::string(1 << 20, 'n'), "... (1048576 bytes)': the name is longer");
}

// The tensors.

TEST_F(MalformedPickle, Storages) {
  refuse_tensor(pickle::tensor(pickle::storage("FloatStorage", "1", 4), 0, {1}, {1}),
                "its storage '1' is not in the archive");
  refuse_tensor(pickle::tensor(pickle::storage("FloatStorage", "../data.pkl", 4), 0, {1}, {1}),
                "its storage '../data.pkl' is not in the archive");
  for (const int64_t elements : {int64_t{0}, int64_t{3}, int64_t{5}, int64_t{1} << 40,
                                 std::numeric_limits<int64_t>::max()}) {
    refuse_tensor(
        pickle::tensor(floats(elements), 0, {1}, {1}),
        fmt::format("its storage '0' claims {} elements of 4 bytes, but has 16 bytes", elements));
  }
  refuse_tensor(pickle::tensor(pickle::storage("UntypedStorage", "0", 16), 0, {1}, {1}),
                "a storage without a dtype");
  refuse_tensor(pickle::tensor(pickle::storage("ComplexDoubleStorage", "0", 1), 0, {1}, {1}),
                "safetensors has no dtype for torch.ComplexDoubleStorage");
  refuse_tensor(
      pickle::typed_tensor(pickle::storage("UntypedStorage", "0", 16), 0, {1}, {1}, "complex128"),
      "safetensors has no dtype for torch.complex128");
  refuse_tensor(
      pickle::typed_tensor(pickle::storage("UntypedStorage", "0", 15), 0, {1}, {1}, "uint16"),
      "claims 15 elements of 1 bytes");
  refuse_tensor(
      pickle::typed_tensor(pickle::storage("UntypedStorage", "0", 16), 0, {9}, {1}, "uint16"),
      "offset 0, shape [9] and strides [1] reach past its storage '0' of 8 elements");
}

TEST_F(MalformedPickle, Views) {
  const int64_t most = std::numeric_limits<int64_t>::max();
  const int64_t least = std::numeric_limits<int64_t>::min();
  refuse_view(-1, {1}, {1}, "offset -1, shape [1] and strides [1] reach past its storage '0' of 4");
  refuse_view(least, {1}, {1}, "reach past its storage");
  refuse_view(4, {1}, {1}, "offset 4, shape [1]");
  refuse_view(most, {1}, {1}, "reach past its storage");
  refuse_view(5, {0}, {1}, "reach past its storage");
  refuse_view(0, {5}, {1}, "reach past its storage");
  refuse_view(1, {2, 2}, {2, 1}, "reach past its storage");
  refuse_view(0, {2}, {4}, "reach past its storage");
  refuse_view(0, {2}, {most}, "reach past its storage");
  refuse_view(0, {3, 3}, {most / 2, most / 2}, "reach past its storage");
  refuse_view(most, {2}, {1}, "reach past its storage");
  refuse_view(0, {2}, {-1}, "the stride -1 is negative");
  refuse_view(0, {-2}, {1}, "the size -2 is negative");
  refuse_view(0, {least}, {0}, "is negative");
  refuse_view(0, {2}, {}, "1 sizes and 0 strides");
  refuse_view(0, {}, {1}, "0 sizes and 1 strides");
  refuse_view(0, {most}, {0}, "the size of [9223372036854775807] overflows");
  refuse_view(0, {int64_t{1} << 40, int64_t{1} << 40}, {0, 0}, "overflows");
  refuse_view(0, {0, most, most}, {0, 0, 0}, "overflows");
  refuse_view(0, {int64_t{1} << 40}, {0},
              "expanded to 4398046511104 bytes, more than the file has");
  refuse_view(0, {(1 << 18) + 1}, {0}, "expanded to 1048580 bytes");
  refuse_view(0, std::vector<int64_t>(33, 1), {}, "33 dimensions; at most 32 are read");
  refuse_view(0, {1}, std::vector<int64_t>(100'000, 1), "100000 dimensions");
  const auto raw = [&](const std::string& shape, const std::string& strides) {
    return pickle::call(pickle::global("torch._utils", "_rebuild_tensor_v2"),
                        {floats(4), pickle::number(0), shape, strides, "\x89", "N"});
  };
  refuse_tensor(raw(pickle::tuple({"N"}), pickle::numbers({1})), "a size that is no integer");
  refuse_tensor(raw(pickle::tuple({"\x88"}), pickle::numbers({1})), "a size that is no integer");
  refuse_tensor(raw(pickle::numbers({1}), pickle::tuple({pickle::text("1")})),
                "a stride that is no integer");
  refuse_tensor(raw(pickle::tuple({"\x8a\x09" + std::string(9, '\x7f')}), pickle::numbers({1})),
                "a size that is no integer");
  for (const std::string& metadata :
       {pickle::dict({pickle::text("conj"), "\x88"}), std::string("]")}) {
    refuse_tensor(pickle::tensor(floats(4), 0, {1}, {1}, {metadata}),
                  "a conjugate or negative view");
  }
}

// Any bytes load or fail.

class RandomPickle : public MalformedPickle {
 protected:
  size_t below(size_t count) {
    return std::uniform_int_distribution<size_t>(0, count - 1)(random_);
  }
  /// A few bytes replaced, dropped or inserted.
  std::string mutate(std::string bytes, bool keep_length) {
    for (size_t i = 1 + below(4); i > 0; --i) {
      const size_t place = below(bytes.size());
      const size_t kind = keep_length ? 0 : below(3);
      const char byte = below(2) == 0 ? kBytes[below(kBytes.size())] : static_cast<char>(random_());
      if (kind == 0) bytes[place] = byte;
      if (kind == 1) bytes.insert(place, 1, byte);
      if (kind == 2 && bytes.size() > 2) bytes.erase(place, 1 + below(2));
    }
    return bytes;
  }

  /// Opcodes and numbers at the borders.
  const std::string kBytes =
      std::string("(.JKMNQRXabce]hqrjstu}):\x85\x86\x87\x88\x89\x8a\x93\x94") +
      std::string("\x00\x01\x7f\x80\xff\xff", 6);
  std::mt19937 random_{11};
};

TEST_F(RandomPickle, MutatedArchives) {
  auto items = archive_items(
      pickle::whole(
          pickle::dict({pickle::text("a"), good_tensor(), pickle::text("b"),
                        pickle::tensor(pickle::storage("HalfStorage", "1", 6), 0, {3, 2}, {1, 3}),
                        pickle::text("steps"), pickle::number(1)})),
      {{"0", "abcdefghijklmnop"}, {"1", "abcdefghijkl"}});
  int opened = 0;
  for (const bool zip64 : {false, true}) {
    for (ZipItem& item : items) item.zip64 = zip64;
    const std::string whole = zip(items, {.zip64 = zip64});
    ASSERT_TRUE(survive(whole));
    for (int i = 0; i < 3000; ++i) opened += survive(mutate(whole, i % 4 != 0)) ? 1 : 0;
  }
  EXPECT_GT(opened, 100);
}

TEST_F(RandomPickle, MutatedPicklesInSoundArchives) {
  const std::string pickles[] = {
      good_pickle(),
      pickle::whole(
          pickle::dict({pickle::text("model"),
                        pickle::ordered_dict() + pickle::text("w") +
                            pickle::typed_tensor(pickle::storage("UntypedStorage", "0", 16), 1,
                                                 {2, 2}, {1, 2}, "float8_e5m2") +
                            "s" + pickle::dict({pickle::text("_metadata"), "}"}) + "b",
                        pickle::text("l"), "]q" + std::string(1, '\0') + "(NNe"})),
  };
  int opened = 0;
  for (const std::string& sound : pickles) {
    for (int i = 0; i < 3000; ++i) {
      opened += survive(zip(archive_items(mutate(sound, i % 2 == 0), {{"0", "abcdefghijklmnop"}})))
                    ? 1
                    : 0;
    }
  }
  EXPECT_GT(opened, 10);
}

/// Rows of whole opcodes, so that the loop is left late.
TEST_F(RandomPickle, RandomOpcodes) {
  const std::string zero(1, '\0');
  const std::vector<std::string> opcodes = {"(",
                                            "N",
                                            "]",
                                            "}",
                                            ")",
                                            "t",
                                            "u",
                                            "s",
                                            "a",
                                            "e",
                                            "b",
                                            "R",
                                            "Q",
                                            "\x85",
                                            "\x86",
                                            "\x87",
                                            "\x88",
                                            "\x93",
                                            "\x94",
                                            "q" + zero,
                                            "h" + zero,
                                            "h\x01",
                                            "h\x02",
                                            "K\x02",
                                            pickle::number(-1),
                                            pickle::text("w"),
                                            pickle::text("model"),
                                            pickle::text("storage"),
                                            pickle::text("0"),
                                            pickle::global("collections", "OrderedDict"),
                                            pickle::global("torch", "FloatStorage"),
                                            pickle::global("torch", "Size"),
                                            pickle::global("torch._utils", "_rebuild_tensor_v2"),
                                            pickle::global("torch._utils", "_rebuild_parameter"),
                                            floats(4),
                                            good_tensor(),
                                            pickle::dict({pickle::text("w"), good_tensor()}),
                                            pickle::numbers({1, 2})};
  for (int i = 0; i < 5000; ++i) {
    std::string row = "\x80\x02";
    for (size_t left = 1 + below(30); left > 0; --left) row += opcodes[below(opcodes.size())];
    survive(zip(archive_items(row + ".", {{"0", "abcdefghijklmnop"}})));
  }
}

}  // namespace
}  // namespace sagesan
