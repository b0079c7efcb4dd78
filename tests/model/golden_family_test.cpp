#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "helpers/files.h"
#include "helpers/tiny_model.h"
#include "sagesan/activations/runner.h"
#include "sagesan/model/family.h"

namespace sagesan {
namespace {

using nlohmann::json;

/// What transformers 5.17 computes in float32, written by make_golden.py beside this file.
std::vector<json> golden_cases() {
  const auto path = std::filesystem::path(__FILE__).parent_path() / "golden_families.json";
  std::ifstream stream(path);
  return stream ? json::parse(stream).get<std::vector<json>>() : std::vector<json>{};
}

/// As `values` in make_golden.py: multiples of 2^-11 below 1/2 in magnitude, from the name and the
/// element's index; gains of norms lie around 1.
std::vector<double> golden_values(const std::string& name, const std::vector<int64_t>& shape) {
  uint64_t seed = 0xCBF29CE484222325ULL;
  for (const char c : name) seed = (seed ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  const bool gain = shape.size() == 1 && name.ends_with(".weight");
  size_t count = 1;
  for (const int64_t size : shape) count *= static_cast<size_t>(size);
  std::vector<double> result(count);
  for (size_t i = 0; i < count; ++i) {
    uint64_t z = seed + (i + 1) * 0x9E3779B97F4A7C15ULL;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ z >> 27) * 0x94D049BB133111EBULL;
    result[i] = (2.0 * static_cast<double>(z >> 54) - 1023) / 2048 + (gain ? 1 : 0);
  }
  return result;
}

/// config.json and model.safetensors of a case.
void write_checkpoint(const std::filesystem::path& directory, const json& item) {
  testing::write_file(directory / "config.json", item.at("config").dump());
  std::vector<std::string> payloads;
  std::vector<TensorBytes> tensors;
  for (const auto& [name, shape] : item.at("tensors").items()) {
    tensors.push_back({name, DType::kF32, shape.get<std::vector<int64_t>>(), {}});
    payloads.push_back(
        testing::encode_values(golden_values(name, tensors.back().shape), DType::kF32));
  }
  for (size_t i = 0; i < tensors.size(); ++i)
    tensors[i].bytes = std::as_bytes(std::span(payloads[i]));
  write_safetensors(directory / "model.safetensors", tensors, {{"format", "pt"}});
}

/// A moment's trace, and p^T M p with a fixed p, which depends on every entry.
std::vector<double> figures(const SiteMoment& moment) {
  const auto* second = std::get_if<SecondMoment>(&moment);
  const Tensor sum = second ? second->sum() : std::get<DiagonalMoment>(moment).sum();
  const Tensor probe = at::tensor(golden_values("probe", {sum.size(0)}), at::kDouble);
  const Tensor form = second ? at::mm(probe.unsqueeze(0), sum).squeeze(0) : probe * sum;
  const Tensor trace = second ? sum.diagonal().sum() : sum.sum();
  return {trace.item<double>(), (form * probe).sum().item<double>()};
}

/// As a parameter, a case is printed by its name alone.
struct Case {
  json data;
  friend void PrintTo(const Case& item, std::ostream* stream) { *stream << item.data.at("name"); }
};

std::vector<Case> named_cases() {
  std::vector<Case> result;
  for (json& item : golden_cases()) result.push_back({std::move(item)});
  return result;
}

class GoldenFamily : public ::testing::TestWithParam<Case> {
 protected:
  GoldenFamily() {
    write_checkpoint(directory_.path(), GetParam().data);
    checkpoint_.emplace(Checkpoint::open(directory_.path()));
    model_ = read_configuration(directory_.path());
    match_parameters(model_, *checkpoint_);
    for (const json& text : GetParam().data.at("texts"))
      batch_.add(text.get<std::vector<int64_t>>());
  }

  Tensor logits() {
    Decoder decoder(model_, *checkpoint_, at::kCPU);
    HiddenStates hidden = decoder.embed(batch_);
    for (int64_t layer = 0; layer < model_.layer_count(); ++layer)
      decoder.run_layer(layer, hidden, batch_, {}, true, {});
    decoder.run_final_norm(hidden, batch_, {}, {});
    return decoder.head_rows(0, model_.vocabulary).logits(hidden.tensor());
  }

  testing::TemporaryDirectory directory_;
  std::optional<Checkpoint> checkpoint_;
  ModelConfiguration model_;
  TokenBatch batch_;
};

TEST_P(GoldenFamily, HasTheLogitsOfTransformers) {
  const auto rows = GetParam().data.at("rows").get<std::vector<int64_t>>();
  const auto expected = GetParam().data.at("logits").get<std::vector<std::vector<double>>>();
  const Tensor ours = logits().to(at::kDouble);
  ASSERT_EQ(rows.size(), expected.size());
  ASSERT_GE(rows.size(), 8u);
  std::vector<Tensor> wanted;
  for (const std::vector<double>& row : expected) wanted.push_back(at::tensor(row, at::kDouble));
  const Tensor all = at::cat(wanted).view({static_cast<int64_t>(rows.size()), -1});
  const Tensor difference = (ours.index_select(0, at::tensor(rows, at::kLong)) - all).abs();
  EXPECT_LT(difference.max().item<double>(), 1e-4 * all.std().item<double>());
}

// Texts that go on token by token, and end one after another, against a pass over each prefix.
TEST_P(GoldenFamily, ContinuesTextsFromItsCache) {
  const auto texts = GetParam().data.at("texts").get<std::vector<std::vector<int64_t>>>();
  Decoder decoder(model_, *checkpoint_, at::kCPU);
  const auto last_logits = [&](const TokenBatch& batch, KeyValueCache* cache) {
    HiddenStates hidden = decoder.embed(batch, cache);
    for (int64_t layer = 0; layer < model_.layer_count(); ++layer)
      decoder.run_layer(layer, hidden, batch, {}, true, {}, cache);
    decoder.run_final_norm(hidden, batch, {}, {});
    std::vector<int64_t> rows;
    for (const int64_t length : batch.lengths)
      rows.push_back((rows.empty() ? -1 : rows.back()) + length);
    return decoder.head_rows(0, model_.vocabulary)
        .logits(hidden.tensor().index_select(0, at::tensor(rows, at::kLong)));
  };
  std::vector<int64_t> capacities;
  for (const auto& text : texts) capacities.push_back(static_cast<int64_t>(text.size()));
  KeyValueCache cache(model_, capacities, at::kCPU);
  int64_t restarts = 0;
  for (int64_t length = 4; length <= capacities.back(); ++length) {
    if (length == 6) decoder.keep_weights();
    TokenBatch step, whole;
    std::vector<size_t> chosen;
    for (size_t i = 0; i < texts.size(); ++i) {
      const int64_t end = std::min(length, capacities[i]);
      if (end < length && length > 4) continue;
      const bool anew = length == 4 || decoder.outgrows(end - 1, end);
      restarts += anew && length > 4 ? 1 : 0;
      if (anew) cache.forget(i);
      chosen.push_back(i);
      step.add({texts[i].begin() + (anew ? 0 : end - 1), texts[i].begin() + end});
      whole.add({texts[i].begin(), texts[i].begin() + end});
    }
    cache.choose(chosen);
    const Tensor expected = last_logits(whole, nullptr);
    const Tensor found = last_logits(step, &cache);
    cache.advance(step.lengths);
    EXPECT_LT((found - expected).abs().max().item<double>(), 1e-5 * expected.std().item<double>())
        << length;
  }
  const std::string name = GetParam().data.at("name");
  EXPECT_EQ(restarts > 0, name == "llama_dynamic" || name == "phi3_longrope");
}

TEST_P(GoldenFamily, HasTheMomentsOfTransformers) {
  ObservationPlan plan;
  for (const auto& [site, channels] : model_sites(model_)) {
    if (!site.is_embedding()) plan.sites.insert(site);
  }
  const json& expected = GetParam().data.at("sites");
  std::set<std::string> seen;
  const auto check = [&](const Site& site, const SiteMoment& moment, double /*reference_trace*/) {
    if (std::visit([](const auto& m) { return m.count(); }, moment) == 0) return;
    const std::string name = site.name();
    seen.insert(name);
    ASSERT_TRUE(expected.contains(name)) << name;
    const std::vector<double> ours = figures(moment);
    const auto wanted = expected.at(name).get<std::vector<double>>();
    ASSERT_EQ(ours.size(), wanted.size());
    for (size_t i = 0; i < ours.size(); ++i)
      EXPECT_NEAR(ours[i], wanted[i], 1e-5 * wanted[i]) << name << " " << i;
  };
  observe(
      model_, *checkpoint_, at::kCPU, batch_, plan, [](int64_t) {}, check);
  EXPECT_EQ(seen.size(), expected.size());
}

INSTANTIATE_TEST_SUITE_P(Cases, GoldenFamily, ::testing::ValuesIn(named_cases()),
                         [](const auto& item) {
                           return item.param.data.at("name").template get<std::string>();
                         });

TEST(GoldenFamilies, AreAllOfTheTable) {
  std::set<std::string> covered, table;
  for (const json& item : golden_cases())
    covered.insert(item.at("config").at("architectures").at(0).get<std::string>());
  for (const Family& family : families()) table.emplace(family.architecture);
  EXPECT_EQ(covered, table);
}

}  // namespace
}  // namespace sagesan
