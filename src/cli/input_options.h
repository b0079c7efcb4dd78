#pragma once

#include <memory>

#include "command.h"
#include "sagesan/jobs/sanitize.h"

namespace sagesan::cli {

/// What --method takes.
inline constexpr std::initializer_list<Method> kMethods = {
    Method::kSage,   Method::kRidge,    Method::kNullspace,  Method::kScale,
    Method::kRandom, Method::kRollback, Method::kForgetAware};
/// What --other takes.
inline constexpr std::initializer_list<OtherPolicy> kOtherPolicies = {
    OtherPolicy::kShrink, OtherPolicy::kKeep, OtherPolicy::kBase};

/// What `sanitize` and `sweep` read and how, as typed.
struct InputWords {
  std::string base, unlearned, moments;
  std::vector<std::string> retain, forget, include, exclude, adapters;
  std::string activations = "base", token_cap = "0", anchor_floor = "1";
  RenderingWords rendering;
  std::string max_length = "512", max_tokens = "0", device = "auto";
};

/// --base, --unlearned, --add-adapter, --retain, --moments and --forget, with the help `forget`.
void add_input_options(CLI::App& command, InputWords& words, const std::string& forget);
/// --include, --exclude, the text options, --max-tokens, --activations, --token-cap,
/// --anchor-floor, --device and --threads.
void add_run_options(CLI::App& command, Common& common, InputWords& words);

/// Fills in what the words come to. Throws `UsageError`, also where `command` was given neither
/// --retain nor --moments.
void parse_inputs(const CLI::App& command, const InputWords& words, SanitizeOptions& options);

}  // namespace sagesan::cli
