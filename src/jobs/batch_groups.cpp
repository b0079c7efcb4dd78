#include "batch_groups.h"

#include <fmt/format.h>

#include <map>

#include "sagesan/support/file.h"
#include "sagesan/support/hash.h"

namespace sagesan {

bool can_share_moments(const SanitizeOptions& options) {
  // A search halves the retain texts, and collecting for others keeps to no limit.
  return options.moments.empty() && !options.unlearned_activations && !options.automatic &&
         options.max_memory == 0;
}

std::string text_key(const SanitizeOptions& options) {
  Hasher hasher;
  const auto add_path = [&](const std::filesystem::path& path) {
    hasher.add_text(resolve_path(path).string());
  };
  const auto add_count = [&](size_t count) { hasher.add_text(std::to_string(count)); };
  add_path(options.base);
  add_count(options.retain.size());
  for (const auto& file : options.retain) add_path(file);
  const Rendering& rendering = options.rendering;
  add_count(rendering.fields.size());
  for (const std::string& field : rendering.fields) hasher.add_text(field);
  hasher.add_text(rendering.chat_template);
  hasher.add_text(fmt::format("{} {} {} {} {}", rendering.of_model, rendering.split_long_texts,
                              options.max_length, options.max_tokens, options.token_cap));
  hasher.add_text(options.device);
  return hasher.hex();
}

std::vector<BatchGroup> group_jobs(const std::vector<BatchJob>& jobs) {
  std::vector<BatchGroup> groups;
  std::map<std::string, size_t> by_key;
  for (size_t i = 0; i < jobs.size(); ++i) {
    if (!can_share_moments(jobs[i].options)) {
      groups.push_back({.jobs = {i}});
      continue;
    }
    const auto [found, fresh] = by_key.try_emplace(text_key(jobs[i].options), groups.size());
    if (fresh) groups.emplace_back();
    BatchGroup& group = groups[found->second];
    group.jobs.push_back(i);
    group.shares_moments = group.jobs.size() > 1;
  }
  return groups;
}

}  // namespace sagesan
