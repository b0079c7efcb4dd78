#include "finished_outputs.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "batch_groups.h"
#include "report_options.h"
#include "sagesan/checkpoint/checkpoint.h"
#include "sagesan/checkpoint/update_vector.h"
#include "sagesan/jobs/token_data.h"
#include "sagesan/model/configuration.h"
#include "unlearned_model.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDamaged = "its report is damaged";

/// What says that files are missing or cut; empty where nothing does.
std::string output_problem(const fs::path& directory, OutputFormat format) {
  const char* configuration =
      format == OutputFormat::kAdapter ? "adapter_config.json" : "config.json";
  if (format != OutputFormat::kDelta && !fs::is_regular_file(directory / configuration))
    return fmt::format("it lacks {}", configuration);
  std::set<std::string> files;
  Json index;
  try {
    for (const auto& entry : fs::directory_iterator(directory)) {
      if (entry.path().extension() != ".safetensors") continue;
      const SafetensorsFile opened(entry.path());
      files.insert(entry.path().filename().string());
    }
    index = read_optional_json_file(directory / kWeightsIndex);
  } catch (const InputError& error) {
    return std::string("its weights are damaged: ") + error.what();
  }
  if (files.empty()) return "it holds no weights";
  const auto map = index.find("weight_map");
  if (map == index.end()) return "";
  for (const Json& file : *map) {
    if (file.is_string() && !files.contains(file.get<std::string>()))
      return "it lacks " + quote(file.get<std::string>());
  }
  return "";
}

/// Names the options that differ.
std::string compare_options(const Json& made, const Json& wanted) {
  std::string others;
  for (const auto& [name, value] : wanted.items()) {
    const auto found = made.find(name);
    if (found == made.end() || *found != value) others += (others.empty() ? "" : ", ") + name;
  }
  if (!others.empty()) return "it was made with another " + others;
  // Of another method.
  return made == wanted ? "" : "it was made with other options";
}

}  // namespace

const std::string& FinishedOutputs::identity(const fs::path& checkpoint) {
  const fs::path place = fs::weakly_canonical(checkpoint);
  const auto found = identities_.find(place);
  if (found != identities_.end()) return found->second;
  return identities_[place] =
             checkpoint_identity(Checkpoint::open(checkpoint), progress_, at::get_num_threads());
}

std::string FinishedOutputs::unlearned_identity(const SanitizeOptions& options) {
  if (!Adapter::is_adapter(options.unlearned) && options.adapters.empty())
    return identity(options.unlearned);
  const Checkpoint base = Checkpoint::open(options.base);
  const UnlearnedModel unlearned = open_unlearned(options.unlearned, base, options.adapters);
  return checkpoint_identity(unlearned.checkpoint, progress_, at::get_num_threads());
}

const FinishedOutputs::Texts& FinishedOutputs::read_texts(const SanitizeOptions& options) {
  const std::string key = text_key(options);
  const auto found = texts_.find(key);
  if (found != texts_.end()) return found->second;
  const TextSource source = open_text_source(options.rendering, options.base);
  const TokenData data = read_token_data(
      options.retain, source, {.max_length = options.max_length, .max_tokens = options.max_tokens},
      read_configuration(options.base));
  return texts_[key] = {source.records.chat ? source.records.chat->identity() : "", data.files};
}

std::string FinishedOutputs::compare(const Json& report, const SanitizeOptions& options) {
  const auto said = [&](const char* place) {
    const Json::json_pointer pointer(place);
    return report.contains(pointer) ? report.at(pointer) : Json(nullptr);
  };
  if (said("/tool/version") != SAGESAN_VERSION || said("/schema_version") != kReportSchemaVersion)
    return "another version of sagesan made it";
  ReportOptions wanted;
  Json texts;
  if (options.moments.empty()) {
    const Texts& read = read_texts(options);
    wanted = report_options(options, read.template_identity, nullptr);
    texts = to_json(read.files);
  } else {
    const MomentsFile moments(options.moments);
    wanted = report_options(options, "", &moments.origin());
    texts = to_json(moments.origin().retain_files);
  }
  Json options_made = said("/options");
  if (!options_made.is_object()) return kDamaged;
  Json options_wanted = to_json(wanted);
  if (options.automatic) {
    // What the search found is no wish.
    for (const char* found : {"method", "strength", "carrier_gain", "energy", "anchor_floor"}) {
      options_made.erase(found);
      options_wanted.erase(found);
    }
  }
  std::string other = compare_options(options_made, options_wanted);
  if (!other.empty()) return other;
  if (said("/inputs/retain") != texts) return "it was made with other texts";
  Json forget;
  if (!options.forget.empty()) {
    SanitizeOptions of_forget = options;
    of_forget.retain = options.forget;
    forget = to_json(read_texts(of_forget).files);
  }
  if (said("/inputs/forget") != forget) return "it was made with other forget texts";
  if (said("/inputs/base/identity") != identity(options.base)) return "it was made of another base";
  if (said("/inputs/base/configuration") != configuration_identity(options.base))
    return "the base had another configuration or tokenizer";
  if (said("/inputs/unlearned/identity") != unlearned_identity(options))
    return "it was made of another unlearned checkpoint";
  return output_problem(options.out, options.output.format);
}

std::optional<FinishedOutput> FinishedOutputs::find(const SanitizeOptions& options) {
  const fs::path file = options.out / kReportName;
  if (!fs::is_regular_file(fs::status(file))) return std::nullopt;
  FinishedOutput found;
  try {
    found.report = read_json_file(file);
  } catch (const InputError&) {
    found.difference = kDamaged;
    return found;
  }
  found.difference = compare(found.report, options);
  return found;
}

}  // namespace sagesan
