#include "sagesan/activations/moments_file.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "sagesan/support/error.h"

namespace sagesan {
namespace {

constexpr const char* kFormat = "sagesan-moments";
constexpr const char* kVersion = "1";

/// Numbers of tokens that a file may claim: sums of them stay exact and far from overflow.
constexpr int64_t kMostTokens = int64_t{1} << 50;

std::map<std::string, std::string> to_metadata(const MomentsOrigin& origin) {
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
    if (error != std::errc() || rest != digits.data() + digits.size() || !(value >= 0))
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
  for (const RetainFileReport& texts : origin.retain_files) {
    if (texts.tokens > kMostTokens) metadata.fail("retain_files", "too many tokens to be true");
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

/// The tensors of these sites, by name; both forms of a moment whose tokens are not known.
std::vector<TensorLayout> layout(const std::map<std::string, MomentShape>& sites) {
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

}  // namespace

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

MomentsFile::MomentsFile(const std::filesystem::path& path)
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
  for (const TensorLayout& expected : layout(sites_)) {
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

Tensor MomentsFile::read_tensor(const std::string& name) const {
  const TensorInfo& info = *tensors_.at(name);
  const at::ScalarType type = info.dtype == DType::kI64 ? at::kLong : scalar_type(info.dtype);
  Tensor tensor = at::empty(info.shape, at::TensorOptions().dtype(type));
  file_.read(info, 0, writable_bytes(tensor));
  if (!all_finite(tensor))
    throw InputError(path().string(), fmt::format("tensor {}: not finite", quote(name)));
  return tensor;
}

namespace {

/// Whether these can be sums of squares with that weight: none negative, their sum and mean
/// positive and finite. An expert's may all be 0.
bool are_energies(const Tensor& squares, double weight, bool expert) {
  const double sum = squares.sum().item<double>();
  if (!(squares.min().item<double>() >= 0) || !std::isfinite(sum)) return false;
  return std::isnormal(sum / weight) || (expert && sum == 0);
}

}  // namespace

SiteMoment MomentsFile::read(const std::string& site, at::Device device) const {
  const auto found = sites_.find(site);
  if (found == sites_.end())
    throw InputError(path().string(), fmt::format("holds no moment of site {}", quote(site)));
  const MomentShape& shape = found->second;
  const auto count = read_tensor(site + ".count").item<int64_t>();
  const auto weight = read_tensor(site + ".weight").item<double>();
  const bool rows = shape.rows();
  const Tensor values = read_tensor(site + (rows ? ".rows" : ".sum"));
  const Tensor squares = rows             ? values.to(at::kDouble).pow(2).sum(1)
                         : shape.diagonal ? values
                                          : values.diagonal();
  const bool expert = site.find(".experts.") != std::string::npos;
  const bool empty = rows && shape.tokens == 0;
  const bool sound = empty ? count == 0 && weight == 0
                           : count >= 1 && count <= kMostTokens && weight > 0 &&
                                 (!rows || count == shape.tokens) &&
                                 are_energies(squares, weight, expert);
  if (!sound) {
    throw InputError(path().string(),
                     fmt::format("site {}: count {}, weight {} and the sums of squares contradict "
                                 "each other",
                                 quote(site), count, weight));
  }
  if (shape.diagonal) return DiagonalMoment(values, count);
  return SecondMoment(
      MomentSums{.sum = rows ? Tensor() : values.to(device),
                 .rows = rows ? values.to(device) : Tensor(),
                 .mean_sum = read_tensor(site + ".mean_sum").to(device),
                 .weight = weight,
                 .largest_token = read_tensor(site + ".largest_token").item<double>(),
                 .count = count});
}

namespace {

/// Bytes of data that surely come.
uint64_t least_bytes(std::map<std::string, MomentShape> sites) {
  std::erase_if(sites, [](const auto& site) { return !site.second.tokens; });
  return total_bytes(layout(sites));
}

}  // namespace

MomentsWriter::MomentsWriter(const std::filesystem::path& path, const MomentsOrigin& origin,
                             const std::map<std::string, MomentShape>& sites)
    : target_(path),
      writer_(target_.path(), layout(sites), to_metadata(origin), least_bytes(sites)) {}

void MomentsWriter::write(const std::string& site, const SiteMoment& moment) {
  const auto write = [&](const char* part, const Tensor& values) {
    const Tensor here = values.cpu().contiguous();
    writer_.write({site + part, dtype_of(here), here.sizes().vec()}, tensor_bytes(here));
  };
  const auto write_scalars = [&](int64_t count, double weight) {
    write(".count", at::full({}, count, at::kLong));
    write(".weight", at::full({}, weight, at::kDouble));
  };
  if (const auto* diagonal = std::get_if<DiagonalMoment>(&moment)) {
    write_scalars(diagonal->count(), static_cast<double>(diagonal->count()));
    write(".sum", diagonal->sum());
    return;
  }
  const auto& second = std::get<SecondMoment>(moment);
  write_scalars(second.count(), second.weight());
  write(".mean_sum", second.mean_sum());
  write(".largest_token", at::full({}, second.largest_token(), at::kDouble));
  write(second.has_rows() ? ".rows" : ".sum", second.has_rows() ? second.rows() : second.sum());
}

void MomentsWriter::commit(bool overwrite) {
  writer_.finish();
  target_.commit(overwrite);
}

}  // namespace sagesan
