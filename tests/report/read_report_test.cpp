#include "sagesan/report/read_report.h"

#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "helpers/files.h"
#include "report/report_testing.h"

namespace sagesan {
namespace {

TEST(ReadReport, IsTheInverseOfWriting) {
  const Json written = testing::sample_report().to_json();
  const StoredReport stored = read_sanitize_report(written, "r.json");
  EXPECT_EQ(stored.report.to_json(), written);
  EXPECT_EQ(stored.tool_version, SAGESAN_VERSION);
}

TEST(ReadReport, WhatIsWrongIsNamed) {
  const auto refuse = [](const std::function<void(Json&)>& edit, const std::string& fragment) {
    Json json = testing::sample_report().to_json();
    edit(json);
    testing::expect_input_error([&] { read_sanitize_report(json, "r.json"); }, "r.json", fragment);
  };
  refuse([](Json& json) { json["schema_version"] = 2; },
         "key 'schema_version': found 2: this sagesan reads version 1");
  refuse([](Json& json) { json.erase("schema_version"); },
         "is no report: expected the sagesan_report.json");
  refuse([](Json& json) { json["schema_version"] = "1"; }, "expected an integer");
  refuse([](Json& json) { json.erase("tensors"); }, "'tensors': missing");
  refuse([](Json& json) { json["tensors"] = Json::object(); }, "'tensors': expected a list");
  refuse([](Json& json) { json["tensors"][0] = 1; }, "expected a JSON object");
  refuse([](Json& json) { json["tensors"][0].erase("name"); }, "'name': missing");
  refuse([](Json& json) { json["tensors"][0]["bias_after"] = "low"; },
         "tensor 'layers.0.q_proj.weight': key 'bias_after': expected a number");
  for (const char* key :
       {"bias_before", "bias_after", "rounding_bias", "norm_before", "norm_after"}) {
    for (const double value : {-1e-300, 1e151}) {
      refuse([&](Json& json) { json["tensors"][0][key] = value; },
             std::string("key '") + key + "': expected a number from 0 to 1e150");
    }
  }
  refuse([](Json& json) { json["tensors"][0]["survival"] = 1; },
         "survival: expected a JSON object");
  refuse([](Json& json) { json["tensors"][0]["shape"] = {1.5}; }, "expected a list of sizes");
  refuse([](Json& json) { json["tensors"][1]["rank"] = -1; }, "'rank': expected at least 0");
  refuse([](Json& json) { json["sites"] = 1; }, "'sites': expected an object");
  refuse([](Json& json) { json["sites"]["layers.1.mlp_norm"].erase("tokens"); },
         "site 'layers.1.mlp_norm': key 'tokens': missing");
  refuse([](Json& json) { json["options"]["include"] = {1}; }, "expected a list of texts");
  refuse([](Json& json) { json["inputs"]["retain"][0]["tokens"] = int64_t{1} << 50; },
         "retain: key 'tokens': expected 0 to 1000000000000");
  refuse([](Json& json) { json["inputs"].erase("base"); }, "inputs: key 'base': missing");
  refuse([](Json& json) { json = Json::array(); }, "expected a JSON object, found array");
}

}  // namespace
}  // namespace sagesan
