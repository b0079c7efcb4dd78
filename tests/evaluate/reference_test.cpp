#include "sagesan/evaluate/reference.h"

#include <gtest/gtest.h>

#include "helpers/files.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

class ReferenceFile : public ::testing::Test {
 protected:
  Reference read(const std::string& content) const {
    testing::write_file(directory_.path() / "r.json", content);
    return read_reference(directory_.path() / "r.json");
  }
  /// What is said of a file that is refused, behind its name.
  std::string refused(const std::string& content) const {
    try {
      read(content);
    } catch (const InputError& error) {
      const std::string what = error.what();
      const std::string name = (directory_.path() / "r.json").string();
      EXPECT_TRUE(what.starts_with(name)) << what;
      EXPECT_EQ(what.find('\n'), std::string::npos) << what;
      return what.substr(name.size());
    }
    ADD_FAILURE() << "read: " << content;
    return "";
  }
  testing::TemporaryDirectory directory_;
};

using Numbers = std::vector<double>;

TEST_F(ReferenceFile, OwnEvaluation) {
  const Reference found = read(R"({"data": {
    "a": {"forget": true, "truth_ratio": {"agg_value": 1, "value_by_index": {"0": {"score": 0.5}}}},
    "b": {"forget": false, "truth_ratio": {"value_by_index": {"0": {"score": 7}}}},
    "c": {"forget": true, "truth_ratio": null},
    "d": {"forget": true, "truth_ratio": {"value_by_index": {"0": {"score": 2}, "1": {"score": 3}}}}
    }, "mia_min_k": {"agg_value": 0.25}})");
  EXPECT_EQ(found.truth_ratios, (Numbers{0.5, 2, 3}));
  EXPECT_EQ(found.membership, 0.25);
}

TEST_F(ReferenceFile, OpenUnlearnings) {
  const Reference found = read(R"({"forget_truth_ratio": {"agg_value": 1, "value_by_index":
    {"0": {"score": 0.5}, "1": {"score": 4}}}, "forget_quality": {"agg_value": null}})");
  EXPECT_EQ(found.truth_ratios, (Numbers{0.5, 4}));
  EXPECT_FALSE(found.membership);
  EXPECT_EQ(read(R"({"forget_Truth_Ratio": {"value_by_index": {"7": {"score": 1}}}})").truth_ratios,
            Numbers{1});
  EXPECT_EQ(read(R"({"mia_min_k": {"agg_value": 0.5, "forget": {}}})").membership, 0.5);
}

TEST_F(ReferenceFile, WhatIsMalformedIsRefusedByItsPlace) {
  EXPECT_NE(refused("[]").find("expected"), std::string::npos);
  refused("{\"data\": ");
  EXPECT_TRUE(refused("{}").starts_with(": holds neither truth ratios of a forget set nor"));
  EXPECT_TRUE(refused(R"({"data": {"a": {"truth_ratio": {"value_by_index": {}}}}})")
                  .starts_with(": holds neither"));
  EXPECT_TRUE(refused(R"({"models": {}})").starts_with(": key 'models': evaluations of several"));
  EXPECT_TRUE(refused(R"({"data": []})").starts_with(": data: "));
  EXPECT_TRUE(
      refused(R"({"data": {"a": {"forget": 1}}})").starts_with(": data: 'a': key 'forget'"));
  EXPECT_TRUE(refused(R"({"forget_truth_ratio": {}})").starts_with(": forget_truth_ratio: "));
  EXPECT_TRUE(refused(R"({"forget_truth_ratio": {"value_by_index": {"3": {"score": null}}}})")
                  .starts_with(": forget_truth_ratio: value_by_index: '3': key 'score'"));
  EXPECT_TRUE(
      refused(R"({"forget_truth_ratio": {"value_by_index": {"3": {"score": -1}}}})")
          .starts_with(": forget_truth_ratio: value_by_index: '3': expected a truth ratio"));
  EXPECT_TRUE(
      refused(R"({"mia_min_k": {"agg_value": 2}})").starts_with(": mia_min_k: key 'agg_value'"));
  EXPECT_TRUE(refused(R"({"mia_min_k": 0.5})").starts_with(": mia_min_k: "));
}

TEST(PrivacyLeak, IsRelativeToTheReference) {
  EXPECT_NEAR(privacy_leak(0.5, 0.5), 0, 1e-9);
  EXPECT_NEAR(privacy_leak(1, 0.5), -100, 1e-6);
  EXPECT_NEAR(privacy_leak(0.4, 0.6), 50, 1e-6);
}

}  // namespace
}  // namespace sagesan
