#include "sagesan/checkpoint/canonical_name.h"

#include <gtest/gtest.h>

namespace sagesan {
namespace {

TEST(CanonicalNameTest, WrappersAreTakenOff) {
  EXPECT_EQ(canonical_name("model.layers.0.mlp.up_proj.weight"), "layers.0.mlp.up_proj.weight");
  EXPECT_EQ(canonical_name("layers.0.mlp.up_proj.weight"), "layers.0.mlp.up_proj.weight");
  EXPECT_EQ(canonical_name("base_model.model.model.embed_tokens"), "embed_tokens");
  EXPECT_EQ(canonical_name("transformer.h.0.ln_1.weight"), "h.0.ln_1.weight");
  EXPECT_EQ(canonical_name("gpt_neox.embed_in.weight"), "embed_in.weight");
  EXPECT_EQ(canonical_name("module._orig_mod.model.norm.weight"), "norm.weight");
  EXPECT_EQ(canonical_name("_orig_mod.module.lm_head.weight"), "lm_head.weight");
  EXPECT_EQ(canonical_name("model.language_model.layers.3.x"), "layers.3.x");
  EXPECT_EQ(canonical_name("language_model.model.layers.3.x"), "layers.3.x");
  EXPECT_EQ(canonical_name("backbone.norm.weight"), "norm.weight");
}

TEST(CanonicalNameTest, OnlyWholeWordsAtTheStart) {
  EXPECT_EQ(canonical_name("lm_head.weight"), "lm_head.weight");
  EXPECT_EQ(canonical_name("models.norm"), "models.norm");
  EXPECT_EQ(canonical_name("layers.0.model.weight"), "layers.0.model.weight");
  EXPECT_EQ(canonical_name("my_model.norm"), "my_model.norm");
}

TEST(CanonicalNameTest, SomethingIsAlwaysLeft) {
  EXPECT_EQ(canonical_name(""), "");
  EXPECT_EQ(canonical_name("model."), "model.");
  EXPECT_EQ(canonical_name("model.model."), "model.");
  EXPECT_EQ(canonical_name("model"), "model");
}

}  // namespace
}  // namespace sagesan
