#include "sagesan/support/json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "helpers/files.h"

namespace sagesan {
namespace {

using testing::expect_input_error;

/// `text` must be refused with a message that names the file and holds `fragment`.
std::string refuse(const std::string& text, const std::string& fragment) {
  return expect_input_error([&] { parse_json(text, "config.json"); }, "config.json: ", fragment);
}

TEST(ParseJson, ReadsOrdinaryDocuments) {
  const Json json = parse_json(R"( {"a": [1, -2, 3.5, true, null, "\u00e9\n"], "b": {}} )", "x");
  EXPECT_EQ(json["a"][0], 1);
  EXPECT_EQ(json["a"][1], -2);
  EXPECT_EQ(json["a"][2], 3.5);
  EXPECT_EQ(json["a"][5], "\u00e9\n");
  EXPECT_TRUE(json["b"].is_object());
  EXPECT_EQ(parse_json("7", "x"), 7);
}

TEST(ParseJson, SameKeyInDifferentObjectsIsFine) {
  const Json json = parse_json(R"({"a": {"a": 1}, "b": [{"a": 2}, {"a": 3}]})", "x");
  EXPECT_EQ(json["b"][1]["a"], 3);
}

TEST(ParseJson, DuplicateKeys) {
  refuse(R"({"a": 1, "a": 2})", "the key 'a' stands twice in one object");
  refuse(R"({"x": [{"k": 1, "k": 1}]})", "the key 'k' stands twice in one object");
  // The escaped spelling of the same key.
  refuse(R"({"ab": 1, "\u0061b": 2})", "the key 'ab' stands twice in one object");
}

TEST(ParseJson, ByteOrderMark) { refuse("\xEF\xBB\xBF{}", "starts with a byte-order mark"); }

TEST(ParseJson, NulByteAfterTheValue) {
  refuse(std::string("{}\0junk", 7), "not valid JSON: NUL byte at 2");
}

TEST(ParseJson, TrailingText) {
  refuse("{} {}", "not valid JSON at byte 4");
  refuse("1,", "not valid JSON at byte 2");
}

TEST(ParseJson, SyntaxErrorsGiveTheByte) {
  refuse("", "not valid JSON at byte 1");
  refuse("   ", "not valid JSON at byte");
  refuse(R"({"a": })", "not valid JSON at byte 7");
  refuse(R"({"a": 1)", "not valid JSON at byte 8");
  refuse(R"({'a': 1})", "not valid JSON at byte 2");
  refuse(R"([1, 2,])", "not valid JSON at byte 7");
  refuse(R"([NaN])", "not valid JSON at byte 2");
  refuse(R"([01])", "not valid JSON at byte 3");
}

TEST(ParseJson, SyntaxErrorsSayWhatIsWrong) {
  const std::string message = refuse(R"({"a": b})", "not valid JSON at byte 7");
  EXPECT_NE(message.find("invalid literal"), std::string::npos) << message;
}

TEST(ParseJson, RawControlCharactersInTextsAreNotRepeated) {
  refuse("{\"a\x1B[31m\": 1}", "not valid JSON at byte");
  refuse("[\"a\nb\"]", "not valid JSON at byte");
}

TEST(ParseJson, InvalidUtf8) {
  refuse("[\"\xFF\"]", "not valid JSON at byte 3");
  refuse("[\"\xC0\x80\"]", "not valid JSON at byte 3");
  refuse("[\"\xED\xA0\x80\"]", "not valid JSON at byte");
  refuse(R"(["\ud800"])", "not valid JSON at byte");
}

TEST(ParseJson, IntegersOutsideSixtyFourBits) {
  EXPECT_EQ(parse_json("9223372036854775807", "x"), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(parse_json("-9223372036854775808", "x"), std::numeric_limits<int64_t>::min());
  refuse("9223372036854775808", "the integer 9223372036854775808 does not fit in 64 bits");
  refuse("18446744073709551616", "the integer '18446744073709551616' does not fit in 64 bits");
  refuse("-9223372036854775809", "the integer '-9223372036854775809' does not fit in 64 bits");
}

TEST(ParseJson, NumbersPastTheLargestDouble) { refuse("[1e999]", "not valid JSON at byte"); }

TEST(ParseJson, DepthIsLimited) {
  const auto nested = [](size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_NO_THROW(parse_json(nested(128), "x"));
  refuse(nested(129), "JSON nested deeper than 128 levels");
  refuse(std::string(1'000'000, '['), "JSON nested deeper than 128 levels");
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  refuse(objects, "JSON nested deeper than 128 levels");
}

TEST(ReadJsonFile, NamesTheFile) {
  const testing::TemporaryDirectory directory;
  testing::write_file(directory / "config.json", "{");
  expect_input_error([&] { read_json_file(directory / "config.json"); },
                     (directory / "config.json").string(), "not valid JSON at byte 2");
  expect_input_error([&] { read_json_file(directory / "missing.json"); },
                     (directory / "missing.json").string(), "no such file");
  testing::write_file(directory / "long.json", std::string(100, ' '));
  expect_input_error([&] { read_json_file(directory / "long.json", 99); },
                     (directory / "long.json").string(), "100 bytes long; at most 99 are read");
}

}  // namespace
}  // namespace sagesan
