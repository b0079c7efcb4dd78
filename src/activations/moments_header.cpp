#include "sagesan/activations/moments_header.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>

#include "sagesan/support/error.h"

namespace sagesan {
namespace {

constexpr const char* kFormat = "sagesan-moments";
constexpr const char* kVersion = "1";

/// Reads the metadata's texts, every one required.
class Metadata {
 public:
  explicit Metadata(const SafetensorsFile& file) : file_(file) {}

  const std::string& text(const std::string& key) const {
    const auto found = file_.metadata().find(key);
    if (found == file_.metadata().end()) fail(key, "missing");
    return found->second;
  }
  template <typename Number>
  Number number(const std::string& key) const {
    const std::string& digits = text(key);
    Number value{};
    const auto [rest, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || rest != digits.data() + digits.size() || !(value >= 0) ||
        value > std::numeric_limits<Number>::max())
      fail(key, quote(digits) + " is no number of 0 or more");
    return value;
  }
  Json json(const std::string& key) const { return parse_json(text(key), where(key)); }
  std::string where(const std::string& key) const {
    return file_.path().string() + ": __metadata__ " + quote(key);
  }
  [[noreturn]] void fail(const std::string& key, const std::string& message) const {
    throw InputError(where(key), message);
  }

 private:
  const SafetensorsFile& file_;
};

MomentsOrigin read_origin(const SafetensorsFile& file) {
  const auto format = file.metadata().find("format");
  if (format == file.metadata().end() || format->second != kFormat) {
    throw InputError(file.path().string(),
                     "is no moments file ('sagesan collect' and 'sagesan merge' write them)");
  }
  const Metadata metadata(file);
  if (const std::string& version = metadata.text("format_version"); version != kVersion) {
    metadata.fail("format_version",
                  fmt::format("{}: this sagesan reads version {}", quote(version), kVersion));
  }
  MomentsOrigin origin{.base_identity = metadata.text("base_identity"),
                       .tokenizer_identity = metadata.text("tokenizer_identity"),
                       .max_length = metadata.number<int64_t>("max_length"),
                       .token_cap = metadata.number<double>("token_cap"),
                       .retain_files = retain_files_from_json(metadata.json("retain_files"),
                                                              metadata.where("retain_files"))};
  int64_t left = kMostTokens;
  for (const RetainFileReport& texts : origin.retain_files) {
    if (texts.tokens > left) metadata.fail("retain_files", "too many tokens to be true");
    left -= texts.tokens;
  }
  if (file.metadata().contains("model")) origin.model = metadata.text("model");
  // Files from before there were templates were made without one, and their long texts were cut.
  if (const auto chat = file.metadata().find("retain_template"); chat != file.metadata().end())
    origin.retain_template = chat->second;
  if (const auto way = file.metadata().find("long_texts"); way != file.metadata().end())
    origin.split_long_texts = way->second == "split";
  const Json fields = metadata.json("retain_fields");
  if (!fields.is_array()) metadata.fail("retain_fields", "expected a list of texts");
  for (const Json& field : fields) {
    if (!field.is_string()) metadata.fail("retain_fields", "expected a list of texts");
    origin.retain_fields.push_back(field.get<std::string>());
  }
  return origin;
}

}  // namespace

std::map<std::string, std::string> moments_metadata(const MomentsOrigin& origin) {
  std::map<std::string, std::string> result = {
      {"format", kFormat},
      {"format_version", kVersion},
      {"base_identity", origin.base_identity},
      {"tokenizer_identity", origin.tokenizer_identity},
      {"max_length", std::to_string(origin.max_length)},
      {"token_cap", fmt::format("{}", origin.token_cap)},  // the shortest text that reads back
      {"retain_fields", Json(origin.retain_fields).dump()},
      {"retain_template", origin.retain_template},
      {"long_texts", origin.split_long_texts ? "split" : "cut"},
      {"retain_files", to_json(origin.retain_files).dump()}};
  if (!origin.model.empty()) result["model"] = origin.model;
  return result;
}

std::vector<TensorLayout> moments_layout(const std::map<std::string, MomentShape>& sites) {
  std::map<std::string, TensorLayout> sorted;
  const auto add = [&](const std::string& name, DType dtype, std::vector<int64_t> shape) {
    sorted[name] = {name, dtype, std::move(shape)};
  };
  for (const auto& [site, shape] : sites) {
    add(site + ".count", DType::kI64, {});
    add(site + ".weight", DType::kF64, {});
    if (shape.diagonal) {
      add(site + ".sum", DType::kF64, {shape.channels});
      continue;
    }
    add(site + ".mean_sum", DType::kF64, {shape.channels});
    add(site + ".largest_token", DType::kF64, {});
    if (shape.rows() || !shape.tokens)
      add(site + ".rows", DType::kF32, {shape.tokens.value_or(shape.channels - 1), shape.channels});
    if (!shape.rows()) add(site + ".sum", DType::kF64, {shape.channels, shape.channels});
  }
  std::vector<TensorLayout> result;
  result.reserve(sorted.size());
  for (auto& [name, tensor] : sorted) result.push_back(std::move(tensor));
  return result;
}

std::string MomentsOrigin::difference(const MomentsOrigin& other) const {
  if (base_identity != other.base_identity) return "the base model";
  if (tokenizer_identity != other.tokenizer_identity) return "the tokenizer";
  if (max_length != other.max_length) return "the maximum length";
  if (token_cap != other.token_cap) return "the token cap";
  if (retain_fields != other.retain_fields) return "the retain fields";
  if (model != other.model) return "the model's description";
  if (retain_template != other.retain_template) return "the retain template";
  if (split_long_texts != other.split_long_texts) return "the way with long texts";
  return "";
}

int64_t MomentsOrigin::tokens() const {
  int64_t tokens = 0;
  for (const RetainFileReport& file : retain_files) tokens += file.tokens;
  return tokens;
}

MomentsHeader::MomentsHeader(const std::filesystem::path& path)
    : file_(path), origin_(read_origin(file_)) {
  for (const TensorInfo& tensor : file_.tensors()) tensors_[tensor.name] = &tensor;
  const auto fail = [&](const std::string& name, const std::string& message) {
    throw InputError(path.string(), fmt::format("tensor {}: {}", quote(name), message));
  };
  for (const auto& [name, tensor] : tensors_) {
    const size_t dot = name.rfind('.');
    const std::string part = dot == std::string::npos ? "" : name.substr(dot + 1);
    if (part != "sum" && part != "rows") continue;
    const std::vector<int64_t>& shape = tensor->shape;
    const bool rows = part == "rows";  // an expert that saw no token has none
    if (shape.empty() || shape.size() > 2 || shape.back() < 1 || shape.front() < (rows ? 0 : 1))
      fail(name, "expected a vector or a matrix, not " + shape_text(shape));
    const bool diagonal = shape.size() == 1;
    if (rows ? diagonal || shape[0] >= shape[1] : !diagonal && shape[0] != shape[1])
      fail(name, "is no moment: shape " + shape_text(shape));
    const std::string site = name.substr(0, dot);
    const MomentShape found{
        .channels = shape.back(), .diagonal = diagonal, .tokens = rows ? shape[0] : shape.back()};
    if (!sites_.emplace(site, found).second) fail(name, "stands beside another sum of its site");
  }
  // What the sites need must be there, and nothing else.
  std::map<std::string, const TensorInfo*> left = tensors_;
  for (const TensorLayout& expected : moments_layout(sites_)) {
    const auto found = tensors_.find(expected.name);
    if (found == tensors_.end()) fail(expected.name, "missing");
    if (found->second->dtype != expected.dtype || found->second->shape != expected.shape) {
      fail(expected.name,
           fmt::format("expected {} {}", dtype_name(expected.dtype), shape_text(expected.shape)));
    }
    left.erase(expected.name);
  }
  if (!left.empty()) fail(left.begin()->first, "belongs to no moments file");
  if (sites_.empty()) throw InputError(path.string(), "holds no moments");
}

}  // namespace sagesan
