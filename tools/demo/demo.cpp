#include "demo/demo.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "pair_maker/pair_maker.h"
#include "sagesan/jobs/collect.h"
#include "sagesan/jobs/device.h"
#include "sagesan/jobs/evaluate.h"
#include "sagesan/jobs/sanitize.h"
#include "sagesan/support/error.h"
#include "sagesan/support/file.h"
#include "sagesan/support/output_directory.h"

namespace sagesan::demo {
namespace {

namespace fs = std::filesystem;
using Notice = std::function<void(const std::string&)>;

/// Marks a directory that `demo` made and may replace.
constexpr const char* kMarker = "sagesan_demo.json";

/// Forget probability at which retention is compared, where the approaches come to it.
constexpr double kForgetLevel = 0.2;

/// Strengths, from weak to strong: factors from 0.9 to 0.1 for the scaled update, and as far as a
/// filter has something to say.
const std::vector<std::pair<std::string, std::vector<double>>>& approaches() {
  static const std::vector<std::pair<std::string, std::vector<double>>> table = {
      {"scaled", {1 / 0.9 - 1, 1 / 0.75 - 1, 1 / 0.6 - 1, 1, 1 / 0.4 - 1, 3, 9}},
      {"random", {0.1, 0.3, 1, 3, 10, 100}},
      {"sanitized", {0.1, 0.3, 1, 3, 10, 100}},
  };
  return table;
}

Method method_of(const std::string& approach) {
  if (approach == "scaled") return Method::kScale;
  return approach == "random" ? Method::kRandom : Method::kSage;
}

/// A directory below the system's temporary one, removed with all it holds.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::error_code missing;
    const fs::path parent = fs::temp_directory_path(missing);
    if (missing) throw IoError("TMPDIR", "names no directory; set it right, or pass --out");
    std::string name = (parent / "sagesan_demo_XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw_errno(name, "cannot create");
    path_ = name;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

/// One demo run in a directory that is there.
class Demo {
 public:
  Demo(const DemoOptions& options, fs::path directory, const Progress& progress,
       const Notice& notice)
      : options_(options), directory_(std::move(directory)), progress_(progress), notice_(notice) {}

  DemoResult run() {
    for (int64_t i = 0; i < options_.seeds; ++i) run_seed(options_.seed + i);
    return std::move(result_);
  }

 private:
  void run_seed(int64_t seed) {
    const fs::path place = directory_ / fmt::format("seed_{}", seed);
    const MadePairs pairs = make_pairs(place, static_cast<uint64_t>(seed), making_progress());
    // The base runs once; every variant is solved from its moments.
    const fs::path moments = place / "moments.safetensors";
    collect(
        {.base = pairs.base, .out = moments, .retain = {pairs.retain}, .device = options_.device},
        progress_, notice_);
    result_.base.push_back(score(pairs, pairs.base));
    for (const auto& [method, unlearned] : pairs.unlearned) {
      MethodResult result{.seed = seed, .method = method, .unlearned = score(pairs, unlearned)};
      for (const auto& [approach, strengths] : approaches()) {
        for (const double strength : strengths) {
          const SanitizeOptions options{.base = pairs.base,
                                        .unlearned = unlearned,
                                        .out = place / fmt::format("{}_{}", method, approach),
                                        .moments = moments,
                                        .method = method_of(approach),
                                        .strength = strength,
                                        .device = options_.device,
                                        .overwrite = true};
          sanitize(options, quiet_progress(), notice_);
          result.variants.push_back({approach, strength, score(pairs, options.out)});
          done_ += 1;
        }
      }
      result.retention = compare(result);
      result_.methods.push_back(std::move(result));
    }
  }

  Scores score(const MadePairs& pairs, const fs::path& model) {
    const EvaluateResult scores =
        evaluate({.models = {{"model", model}},
                  .data = {{"forget", pairs.forget}, {"heldout", pairs.heldout}},
                  .device = options_.device},
                 progress_, notice_);
    return {.forget = scores.models.at(0).summary(0).mean_answer_probability,
            .heldout = scores.models.at(0).summary(1).mean_answer_probability};
  }

  /// At the level, or at the most that every approach gives back where that is less.
  static Retention compare(const MethodResult& result) {
    double level = kForgetLevel;
    for (const auto& [approach, strengths] : approaches()) {
      double most = 0;
      for (const Variant& variant : result.variants) {
        if (variant.approach == approach) most = std::max(most, variant.scores.forget);
      }
      level = std::min(level, most);
    }
    const auto at = [&, &variants = result.variants](const char* approach) {
      return interpolate(result.unlearned, variants, approach, level);
    };
    return {.forget = level,
            .scaled = at("scaled"),
            .random = at("random"),
            .sanitized = at("sanitized")};
  }

  // One bar for the whole demo. The unit is a variant sanitized and scored; making the pairs of a
  // seed takes about as long as 40 of them, in four stages.
  static constexpr double kMaking = 40;

  void report() const {
    double variants = 0;
    for (const auto& [approach, strengths] : approaches())
      variants += 3 * static_cast<double>(strengths.size());
    if (progress_)
      progress_("demo", done_, static_cast<double>(options_.seeds) * (kMaking + variants));
  }
  /// For jobs inside a step: lets signals through, shows nothing of its own.
  Progress quiet_progress() {
    return [this](std::string_view, double, double) { report(); };
  }
  Progress making_progress() {
    return [this, stage = std::string(), begun = done_ - kMaking / 4](
               std::string_view name, double done, double total) mutable {
      if (name != stage) {
        stage = name;
        begun += kMaking / 4;
      }
      done_ = begun + kMaking / 4 * (total > 0 ? std::min(done / total, 1.0) : 0);
      report();
    };
  }

  const DemoOptions& options_;
  double done_ = 0;
  fs::path directory_;
  const Progress& progress_;
  const Notice& notice_;
  DemoResult result_;
};

}  // namespace

DemoResult run_demo(const DemoOptions& options, const Progress& progress, const Notice& notice) {
  parse_device(options.device);  // throws before the models are made
  if (options.out.empty()) {
    const TemporaryDirectory directory;
    return Demo(options, directory.path(), progress, notice).run();
  }
  OutputDirectory::check(options.out, {}, options.overwrite, kMarker);
  OutputDirectory output(options.out, options.overwrite, kMarker, notice);
  DemoResult result = Demo(options, output.path(), progress, notice).run();
  write_text_file(output.path() / kMarker, result.to_json().dump(1) + "\n");
  output.commit();
  return result;
}

}  // namespace sagesan::demo
