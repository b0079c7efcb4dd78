#include "report/tensor_place.h"

#include <gtest/gtest.h>

namespace sagesan {
namespace {

TEST(TensorPlace, LayerAndModule) {
  const auto place = [](const std::string& name) {
    const TensorPlace found = tensor_place(name);
    return std::pair(found.layer.value_or(-1), found.module);
  };
  using Place = std::pair<int64_t, std::string>;
  EXPECT_EQ(place("model.layers.3.self_attn.q_proj.weight"), Place(3, "self_attn.q_proj"));
  EXPECT_EQ(place("h.11.attn.c_attn.bias"), Place(11, "attn.c_attn.bias"));
  EXPECT_EQ(place("model.layers.3.mlp.experts.5.up_proj.weight"),
            Place(3, "mlp.experts.*.up_proj"));
  EXPECT_EQ(place("model.layers.0.mlp.experts.up_proj[7]"), Place(0, "mlp.experts.up_proj"));
  EXPECT_EQ(place("layers.3.experts.5.input"), Place(3, "experts.*.input"));
  EXPECT_EQ(place("lm_head.weight"), Place(-1, "lm_head"));
  EXPECT_EQ(place("weight"), Place(-1, "weight"));
  EXPECT_EQ(place("layers.99999999999999999999.x"), Place(-1, "layers.99999999999999999999.x"));
  EXPECT_EQ(place("layers.-3.x"), Place(-1, "layers.-3.x"));
  EXPECT_EQ(place(""), Place(-1, ""));
  EXPECT_EQ(place("]"), Place(-1, "]"));
}

TEST(TensorPlace, ShortNamesStayDifferent) {
  EXPECT_EQ(short_names({"self_attn.q_proj", "mlp.up", "shared.up", "norm"}),
            (std::vector<std::string>{"q_proj", "mlp.up", "shared.up", "norm"}));
}

}  // namespace
}  // namespace sagesan
