#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "helpers/files.h"
#include "sagesan/checkpoint/safetensors.h"

namespace sagesan {
namespace {

using testing::little_endian;
using testing::safetensors;

class MalformedSafetensors : public ::testing::Test {
 protected:
  std::filesystem::path path() const { return root_ / "model.safetensors"; }
  /// Opens a file of these bytes, which must be refused with `fragment`; returns the message.
  std::string refuse(const std::string& bytes, const std::string& fragment) {
    testing::write_file(path(), bytes);
    return testing::expect_input_error([&] { SafetensorsFile{path()}; }, path().string() + ": ",
                                       fragment);
  }
  /// The same for a header with one tensor entry and `data_bytes` of data.
  std::string refuse_tensor(const std::string& entry, const std::string& fragment,
                            size_t data_bytes = 4) {
    return refuse(safetensors("{\"t\":" + entry + "}", std::string(data_bytes, 'd')), fragment);
  }
  std::string refuse_shape(const std::string& shape, const std::string& fragment,
                           size_t data_bytes = 4) {
    return refuse_tensor(
        fmt::format(R"({{"dtype":"F32","shape":{},"data_offsets":[0,{}]}})", shape, data_bytes),
        fragment, data_bytes);
  }
  std::string refuse_offsets(const std::string& offsets, const std::string& fragment) {
    return refuse_tensor(R"({"dtype":"U8","shape":[4],"data_offsets":)" + offsets + "}", fragment);
  }
  std::string refuse_name(const std::string& name, const std::string& fragment) {
    return refuse(
        safetensors("{\"" + name + R"(":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "d"),
        fragment);
  }

  testing::TemporaryDirectory root_;
};

TEST_F(MalformedSafetensors, TooShort) {
  refuse("", "0 bytes long, too short for a safetensors file");
  refuse("abcdefg", "7 bytes long, too short for a safetensors file");
}

TEST_F(MalformedSafetensors, HeaderLength) {
  refuse(little_endian(0), "header length 0 is outside 2 to 100000000");
  refuse(little_endian(1) + "{", "header length 1 is outside 2 to 100000000");
  refuse(little_endian(3) + "{}", "the header claims 3 bytes but only 2 follow");
  refuse(little_endian(~uint64_t{0}) + "{}",
         "the header claims 18446744073709551615 bytes but only 2 follow");
  refuse(little_endian(uint64_t{1} << 63) + "{}", "the header claims 9223372036854775808 bytes");
  refuse(std::string("\0\0\0\0\0\0\0\x02{}", 10), "bytes but only 2 follow");  // big-endian
}

TEST_F(MalformedSafetensors, HeaderPastTheLimitIsNotRead) {
  testing::write_file(path(), little_endian(100'000'001));
  std::filesystem::resize_file(path(), 100'000'100);  // sparse
  testing::expect_input_error([&] { SafetensorsFile{path()}; }, path().string(),
                              "header length 100000001 is outside 2 to 100000000");
}

TEST_F(MalformedSafetensors, OtherFormatsAreNamed) {
  refuse("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
         "is a git-LFS pointer (run 'git lfs pull' to get the file itself), expected safetensors");
  refuse("<!DOCTYPE html><html></html>", "is an HTML page (the download failed)");
  refuse("<html><body>Access denied</body></html>", "is an HTML page (the download failed)");
  refuse("PK\x03\x04" + std::string(30, 'z'), "is a zip archive or a PyTorch pickle");
  refuse("GGUF\x03" + std::string(30, '\0'), "is a GGUF file");
  refuse("\x1F\x8B\x08" + std::string(30, '\0'), "is gzip-compressed");
  refuse("\x89HDF\r\n\x1A\n" + std::string(30, '\0'), "is an HDF5 file");
  refuse("\x80\x02}q" + std::string(30, '\0'), "is a PyTorch pickle");
  refuse("<!DOCTYPE html PUBLIC \"-//W3C//DTD", "is an HTML page");
}

TEST_F(MalformedSafetensors, HeaderThatIsNoObject) {
  refuse(safetensors(" {}"), "the header does not start with '{'");
  refuse(safetensors("[]"), "the header does not start with '{'");
  refuse(safetensors("\xEF\xBB\xBF{}"), "the header does not start with '{'");
  refuse(safetensors("{}{}"), "header: not valid JSON at byte 3");
  refuse(safetensors(R"({"t")"), "header: not valid JSON at byte");
  refuse(safetensors(std::string("{}\0\0", 4)), "header: not valid JSON: NUL byte at 2");
  refuse(safetensors("{\"\xFF\":1}"), "header: not valid JSON at byte");
}

TEST_F(MalformedSafetensors, Depth) {
  std::string deep = "{\"t\":" + std::string(100'000, '[');
  refuse(safetensors(deep), "JSON nested deeper than 128 levels");
}

TEST_F(MalformedSafetensors, Duplicates) {
  const std::string entry = R"({"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  refuse(safetensors(fmt::format(R"({{"a":{0},"a":{0}}})", entry), "d"),
         "the key 'a' stands twice in one object");
  refuse(safetensors(fmt::format(R"({{"a":{0},"\u0061":{0}}})", entry), "d"),
         "the key 'a' stands twice in one object");
  refuse_tensor(R"({"dtype":"U8","dtype":"F32","shape":[4],"data_offsets":[0,4]})",
                "the key 'dtype' stands twice in one object");
}

TEST_F(MalformedSafetensors, Metadata) {
  refuse(safetensors(R"({"__metadata__":[]})"), "__metadata__ is no object of texts");
  refuse(safetensors(R"({"__metadata__":{"format":1}})"), "__metadata__ 'format': expected text");
  refuse(safetensors(R"({"__metadata__":{"x":{"y":"z"}}})"), "__metadata__ 'x': expected text");
}

TEST_F(MalformedSafetensors, MissingAndMistypedFields) {
  refuse_tensor("[]", "tensor 't': expected a JSON object, found array");
  refuse_tensor("null", "tensor 't': expected a JSON object, found null");
  refuse_tensor(R"({"shape":[4],"data_offsets":[0,4]})", "tensor 't': key 'dtype': missing");
  refuse_tensor(R"({"dtype":"U8","data_offsets":[0,4]})", "tensor 't': key 'shape': missing");
  refuse_tensor(R"({"dtype":"U8","shape":[4]})", "tensor 't': key 'data_offsets': missing");
  refuse_tensor(R"({"dtype":7,"shape":[4],"data_offsets":[0,4]})",
                "tensor 't': key 'dtype': expected text, found number");
  refuse_tensor(R"({"dtype":"U8","shape":[4],"data_offsets":[0,4],"strides":[1]})",
                "tensor 't': key 'strides': unknown field");
}

TEST_F(MalformedSafetensors, UnknownDType) {
  refuse_tensor(R"({"dtype":"F33","shape":[1],"data_offsets":[0,4]})",
                "tensor 't': key 'dtype': 'F33' is no dtype of the format");
  refuse_tensor(R"({"dtype":"f32","shape":[1],"data_offsets":[0,4]})",
                "'f32' is no dtype of the format");
  refuse_tensor(R"({"dtype":"\u001b[31m","shape":[1],"data_offsets":[0,4]})",
                "'\\u{1b}[31m' is no dtype of the format");
}

TEST_F(MalformedSafetensors, Shapes) {
  refuse_shape("4", "tensor 't': key 'shape': expected a list of sizes");
  refuse_shape("[-1]", "tensor 't': key 'shape': '-1' is no size");
  refuse_shape("[1.0]", "tensor 't': key 'shape': '1.0' is no size");
  refuse_shape("[1.5]", "'1.5' is no size");
  refuse_shape("[true]", "'true' is no size");
  refuse_shape("[null]", "'null' is no size");
  refuse_shape("[[1]]", "'[1]' is no size");
  refuse_shape("[\"1\"]", "is no size");
  refuse_shape("[18446744073709551617]", "does not fit in 64 bits");
  refuse_shape("[9223372036854775808]", "does not fit in 64 bits");
}

TEST_F(MalformedSafetensors, ShapesOfStrangersAreEscapedAndCut) {
  const std::string message = refuse_shape("[\"\\u202e\\u009b31m\"]", "is no size");
  EXPECT_EQ(message.find("\u202e"), std::string::npos);
  EXPECT_EQ(message.find("\u009b"), std::string::npos);
  refuse_shape("[\"" + std::string(1 << 20, 'x') + "\"]", "is no size");
}

TEST_F(MalformedSafetensors, SizesThatOverflow) {
  refuse_shape("[9223372036854775807]", "the size of [9223372036854775807] overflows");
  refuse_shape("[4294967296,4294967296]", "the size of [4294967296, 4294967296] overflows");
  // A zero must not hide an overflow of the other sizes.
  refuse_shape("[0,9223372036854775807,4]", "overflows", 0);
  refuse_shape("[9223372036854775807,4,0]", "overflows", 0);
}

TEST_F(MalformedSafetensors, PackedTypesEndOnWholeBytes) {
  refuse_tensor(R"({"dtype":"F4","shape":[3],"data_offsets":[0,4]})",
                "tensor 't': key 'shape': the data does not end on a whole byte");
  refuse_tensor(R"({"dtype":"F6_E2M3","shape":[5],"data_offsets":[0,4]})",
                "the data does not end on a whole byte");
}

TEST_F(MalformedSafetensors, SizeThatDoesNotMatchShapeAndDType) {
  refuse_shape("[2]", "tensor 't': 4 bytes of data, but F32 [2] needs 8");
  refuse_shape("[]", "tensor 't': 8 bytes of data, but F32 [] needs 4", 8);
  refuse_shape("[0]", "tensor 't': 4 bytes of data, but F32 [0] needs 0");
}

TEST_F(MalformedSafetensors, Offsets) {
  refuse_offsets("4", "tensor 't': key 'data_offsets': expected two integers");
  refuse_offsets("[0]", "tensor 't': key 'data_offsets': expected two integers");
  refuse_offsets("[0,4,4]", "tensor 't': key 'data_offsets': expected two integers");
  refuse_offsets("[0,4.0]", "tensor 't': key 'data_offsets': expected two integers");
  refuse_offsets("[4,0]", "tensor 't': key 'data_offsets': [4, 0] is no range");
  refuse_offsets("[-4,0]", "tensor 't': key 'data_offsets': [-4, 0] is no range");
  refuse_offsets("[0,9223372036854775808]", "does not fit in 64 bits");
  refuse_offsets("[-9223372036854775808,9223372036854775807]", "is no range");
  refuse_offsets("[4,8]", "tensor 't': its data ends at byte 8 but the file has 4: truncated");
}

TEST_F(MalformedSafetensors, HolesOverlapsAndTrailingBytes) {
  const auto two = [](const char* first, const char* second) {
    return fmt::format(R"({{"a":{{"dtype":"U8","shape":[2],"data_offsets":{}}},)"
                       R"("b":{{"dtype":"U8","shape":[2],"data_offsets":{}}}}})",
                       first, second);
  };
  const std::string data(6, 'd');
  refuse(safetensors(two("[0,2]", "[3,5]"), data), "tensor 'b': its data starts at byte");
  refuse(safetensors(two("[0,2]", "[1,3]"), data), "(a hole or an overlap)");
  refuse(safetensors(two("[0,2]", "[0,2]"), data), "(a hole or an overlap)");
  refuse(safetensors(two("[1,3]", "[3,5]"), data), "tensor 'a': its data starts at byte");
  refuse(safetensors(two("[0,2]", "[2,4]"), data), "2 bytes after the last tensor");
  refuse(safetensors("{}", "x"), "1 bytes after the last tensor");
}

TEST_F(MalformedSafetensors, TruncatedAnywhere) {
  const std::string whole = safetensors(
      R"({"t":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})", std::string(16, 'd'));
  for (size_t length = 0; length < whole.size(); ++length) {
    refuse(whole.substr(0, length), length < 8 ? "too short" : "truncated");
  }
}

TEST_F(MalformedSafetensors, Names) {
  refuse_name("", "a tensor has an empty name");
  refuse_name("a\\u0000b", "tensor 'a\\u{0}b': control characters in the name");
  refuse_name("a\\u001b[31m", "tensor 'a\\u{1b}[31m': control characters in the name");
  refuse_name("a\\nb", "tensor 'a\\u{a}b': control characters in the name");
  refuse_name("\\u202egpj", "tensor '\\u{202e}gpj': control characters in the name");
  refuse_name(std::string(1025, 'n'), "the name is longer than 1024 bytes");
  refuse_name(std::string(1 << 20, 'n'), "... (1048576 bytes)");
}

TEST_F(MalformedSafetensors, NotAFile) {
  testing::expect_input_error([&] { SafetensorsFile{root_.path()}; }, root_.path().string(),
                              "is a directory, expected a file");
  testing::expect_input_error([] { SafetensorsFile{"/dev/zero"}; }, "/dev/zero",
                              "is no regular file");
}

}  // namespace
}  // namespace sagesan
