#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "helpers/files.h"
#include "sagesan/support/json.h"

namespace sagesan {
namespace {

const Json& document() {
  static const Json json = parse_json(
      R"({"size": 8, "negative": -1, "zero": 0, "half": 0.5, "whole": 2.0, "name": "llama",
          "yes": true, "nothing": null, "list": [1]})",
      "config.json");
  return json;
}

/// `read` must be refused with exactly `message`.
void refuse(const std::function<void(const JsonObject&)>& read, const std::string& message) {
  const JsonObject object(document(), "config.json");
  EXPECT_EQ(testing::expect_input_error([&] { read(object); }, "config.json", ""),
            "config.json: " + message);
}

TEST(JsonObject, ReadsWhatIsThere) {
  const JsonObject object(document(), "config.json");
  EXPECT_EQ(object.integer("size"), 8);
  EXPECT_EQ(object.integer("negative", -5), -1);
  EXPECT_EQ(object.integer_or("absent", 3), 3);
  EXPECT_EQ(object.integer_or("nothing", 3), 3);
  EXPECT_EQ(object.number("half"), 0.5);
  EXPECT_EQ(object.number("size"), 8.0);
  EXPECT_EQ(object.number_or("absent", 1.5), 1.5);
  EXPECT_TRUE(object.boolean_or("yes", false));
  EXPECT_TRUE(object.boolean_or("absent", true));
  EXPECT_EQ(object.string("name"), "llama");
  EXPECT_EQ(object.string_or("absent", "x"), "x");
  EXPECT_EQ(object.find("nothing"), nullptr);
  EXPECT_TRUE(object.contains("nothing"));
  EXPECT_FALSE(object.contains("absent"));
}

TEST(JsonObject, MissingKeysAreNamed) {
  refuse([](const JsonObject& o) { o.integer("hidden_size"); }, "key 'hidden_size': missing");
  refuse([](const JsonObject& o) { o.string("nothing"); }, "key 'nothing': missing");
  refuse([](const JsonObject& o) { o.require("x\ny"); }, "key 'x\\u{a}y': missing");
}

TEST(JsonObject, WrongTypesAreNamed) {
  refuse([](const JsonObject& o) { o.integer("name"); },
         "key 'name': expected an integer, found string");
  refuse([](const JsonObject& o) { o.integer("half"); },
         "key 'half': expected an integer, found number");
  refuse([](const JsonObject& o) { o.integer("whole"); },
         "key 'whole': expected an integer, found number");
  refuse([](const JsonObject& o) { o.integer("yes"); },
         "key 'yes': expected an integer, found boolean");
  refuse([](const JsonObject& o) { o.number("name"); },
         "key 'name': expected a number, found string");
  refuse([](const JsonObject& o) { o.number("yes"); },
         "key 'yes': expected a number, found boolean");
  refuse([](const JsonObject& o) { o.string("list"); }, "key 'list': expected text, found array");
  refuse([](const JsonObject& o) { o.boolean_or("zero", true); },
         "key 'zero': expected true or false, found number");
  refuse([](const JsonObject& o) { o.integer_or("name", 3); },
         "key 'name': expected an integer, found string");
}

TEST(JsonObject, ValuesOutOfRangeAreNamed) {
  refuse([](const JsonObject& o) { o.integer("zero"); },
         "key 'zero': expected at least 1, found 0");
  refuse([](const JsonObject& o) { o.integer("negative"); },
         "key 'negative': expected at least 1, found -1");
  refuse([](const JsonObject& o) { o.integer("size", 1, 7); },
         "key 'size': expected 1 to 7, found 8");
}

TEST(JsonObject, OtherValuesThanObjectsAreRefused) {
  const Json array = Json::array();
  testing::expect_input_error([&] { JsonObject(array, "config.json"); }, "config.json",
                              "expected a JSON object, found array");
}

}  // namespace
}  // namespace sagesan
