// Round trips of moments files, whatever sites they hold.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "helpers/files.h"
#include "sagesan/activations/moments_file.h"

namespace sagesan {
namespace {

Tensor any_inputs(int64_t tokens, int64_t channels) {
  std::mt19937 random(*rc::gen::arbitrary<uint32_t>());
  std::normal_distribution<float> values(
      0, std::pow(10.0F, static_cast<float>(*rc::gen::inRange(-3, 4))));
  Tensor inputs = at::empty({tokens, channels}, at::kFloat);
  std::generate_n(inputs.data_ptr<float>(), inputs.numel(), [&] { return values(random); });
  return inputs;
}

/// Or none.
Tensor any_weights(int64_t tokens) {
  if (*rc::gen::arbitrary<bool>()) return {};
  Tensor weights = at::empty({tokens}, at::kDouble);
  std::generate_n(weights.data_ptr<double>(), tokens,
                  [] { return *rc::gen::inRange(1, 100) / 100.0; });
  return weights;
}

bool equal(const Tensor& a, const Tensor& b) {
  const auto one = tensor_bytes(a), other = tensor_bytes(b);
  return a.sizes() == b.sizes() && std::equal(one.begin(), one.end(), other.begin(), other.end());
}

SiteMoment any_moment() {
  const int64_t channels = *rc::gen::inRange<int64_t>(1, 9);
  const int64_t tokens = *rc::gen::inRange<int64_t>(1, 12);
  const Tensor inputs = any_inputs(tokens, channels);
  if (*rc::gen::arbitrary<bool>()) {
    DiagonalMoment moment(channels, at::kCPU);
    moment.add(inputs);
    return moment;
  }
  SecondMoment moment(channels, tokens, at::kCPU);
  moment.add(inputs, any_weights(tokens));
  return moment;
}

MomentShape shape_of(const SiteMoment& moment) {
  if (const auto* diagonal = std::get_if<DiagonalMoment>(&moment))
    return {.channels = diagonal->channels(), .diagonal = true, .tokens = diagonal->channels()};
  const auto& second = std::get<SecondMoment>(moment);
  return {.channels = second.channels(),
          .diagonal = false,
          .tokens = second.has_rows() ? second.count() : second.channels()};
}

bool same(const SiteMoment& one, const SiteMoment& other) {
  if (one.index() != other.index()) return false;
  if (const auto* a = std::get_if<DiagonalMoment>(&one)) {
    const auto& b = std::get<DiagonalMoment>(other);
    return equal(a->sum(), b.sum()) && a->count() == b.count();
  }
  const auto& a = std::get<SecondMoment>(one);
  const auto& b = std::get<SecondMoment>(other);
  const bool same_sum = a.has_rows() ? b.has_rows() && equal(a.rows(), b.rows())
                                     : !b.has_rows() && equal(a.sum(), b.sum());
  return same_sum && equal(a.mean_sum(), b.mean_sum()) && a.count() == b.count() &&
         a.weight() == b.weight() && a.largest_token() == b.largest_token();
}

RC_GTEST_PROP(MomentsFileProperties, WhatIsWrittenIsReadBack, ()) {
  const testing::TemporaryDirectory directory;
  const std::filesystem::path path = directory / "m.safetensors";
  std::map<std::string, SiteMoment> moments;
  std::map<std::string, MomentShape> shapes;
  for (int i = *rc::gen::inRange(1, 5); i > 0; --i) {
    const std::string site = fmt::format("layers.{}.site", i);
    const SiteMoment& moment = moments.emplace(site, any_moment()).first->second;
    shapes[site] = shape_of(moment);
  }
  const auto text = [] {
    return *rc::gen::container<std::string>(rc::gen::inRange<char>(' ', '~'));
  };
  MomentsOrigin origin{
      .base_identity = text(),
      .tokenizer_identity = text(),
      .max_length = *rc::gen::inRange<int64_t>(1, int64_t{1} << 40),
      .token_cap = std::abs(*rc::gen::arbitrary<double>()),
      .retain_files = {{.name = text(), .hash = text(), .records = 3, .tokens = 9}}};
  RC_PRE(std::isfinite(origin.token_cap));
  origin.retain_fields = {text(), text()};
  origin.retain_template = text();
  origin.split_long_texts = *rc::gen::arbitrary<bool>();
  MomentsWriter writer(path, origin, shapes);
  for (const auto& [site, moment] : moments) writer.write(site, moment);
  writer.commit(false);

  const MomentsFile file(path);
  RC_ASSERT(file.origin().difference(origin).empty());
  RC_ASSERT(file.origin().tokens() == origin.tokens());
  RC_ASSERT(file.sites().size() == moments.size());
  for (const auto& [site, moment] : moments) RC_ASSERT(same(file.read(site, at::kCPU), moment));
}

}  // namespace
}  // namespace sagesan
