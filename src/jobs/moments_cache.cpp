#include "moments_cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "report_options.h"
#include "sagesan/activations/moments_file.h"
#include "sagesan/jobs/collect.h"
#include "sagesan/jobs/device.h"
#include "sagesan/support/hash.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEnding = ".safetensors";
constexpr size_t kDigits = 32;

/// Whether a file's name is that of moments here, or of an unfinished one.
bool is_moments_name(std::string_view name, bool unfinished) {
  const std::string_view digits = name.substr(0, kDigits);
  const bool hash = digits.size() == kDigits &&
                    digits.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  const std::string_view rest = name.substr(digits.size());
  return hash &&
         (unfinished ? rest.starts_with(kEnding) && rest.ends_with(".partial") : rest == kEnding);
}

void remove_named(const fs::path& directory, bool unfinished,
                  const std::function<void(const fs::path&)>& removed) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (is_moments_name(entry.path().filename().string(), unfinished))
      files.push_back(entry.path());
  }
  for (const fs::path& file : files) {
    if (removed) removed(file);
    fs::remove(file);
  }
}

/// Whether the file is whole and of the same base and texts.
bool fits(const fs::path& file, const SanitizeOptions& options, const std::string& base_identity) {
  if (!fs::exists(file)) return false;
  try {
    const MomentsFile moments(file);
    const MomentsOrigin& origin = moments.origin();
    if (origin.base_identity != base_identity || origin.max_length != options.max_length ||
        origin.token_cap != options.token_cap || origin.retain_fields != options.rendering.fields ||
        origin.split_long_texts != options.rendering.split_long_texts)
      return false;
    return std::equal(origin.retain_files.begin(), origin.retain_files.end(),
                      options.retain.begin(), options.retain.end(),
                      [](const RetainFileReport& there, const fs::path& wanted) {
                        return there.hash == hash_file(wanted);
                      });
  } catch (const InputError&) {
    return false;
  }
}

}  // namespace

MomentsCache::MomentsCache(const BatchOptions& options, const BatchEvents& events)
    : options_(options), events_(events) {}

fs::path MomentsCache::file(const SanitizeOptions& options,
                            const std::string& base_identity) const {
  Hasher hasher;
  const auto add_file = [&](const fs::path& path) {
    hasher.add_text(path.filename().string());
    hasher.add_text(fs::is_regular_file(path) ? hash_file(path) : "");
  };
  hasher.add_text(SAGESAN_VERSION);
  hasher.add_text(base_identity);
  hasher.add_text(configuration_identity(options.base));
  for (const fs::path& retain : options.retain) add_file(retain);
  const Rendering& rendering = options.rendering;
  hasher.add_text(std::to_string(rendering.fields.size()));
  for (const std::string& field : rendering.fields) hasher.add_text(field);
  hasher.add_text(rendering.chat_template);
  add_file(rendering.chat_template);
  // Sums in another order differ in the last bits.
  hasher.add_text(fmt::format("{} {} {} {} {} {} {}", rendering.of_model,
                              rendering.split_long_texts, options.max_length, options.max_tokens,
                              options.token_cap, parse_device(options.device).str(),
                              at::get_num_threads()));
  return options_.cache / (hasher.hex() + std::string(kEnding));
}

void MomentsCache::check() const {
  std::vector<fs::path> inputs;
  for (const BatchJob& job : options_.jobs) {
    const std::vector<fs::path> read = job_inputs(job.options);
    inputs.insert(inputs.end(), read.begin(), read.end());
  }
  check_outside(options_.cache, inputs);
}

void MomentsCache::check_writable() const {
  fs::path place = resolve_path(options_.cache);
  while (!fs::exists(place) && place.has_relative_path()) place = place.parent_path();
  if (::access(place.c_str(), W_OK | X_OK) != 0) {
    throw_errno(options_.cache.string(),
                "cannot be made for the moments that jobs share; choose another --cache");
  }
}

void MomentsCache::open() {
  if (lock_.get() >= 0) return;
  std::error_code failed;
  fs::create_directories(options_.cache, failed);
  if (failed) {
    throw IoError(options_.cache.string(),
                  fmt::format("cannot be made for the moments that jobs share ({}); choose another "
                              "--cache",
                              failed.message()));
  }
  FileDescriptor lock(::open(options_.cache.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (lock.get() < 0) throw_errno(options_.cache.string(), "cannot open");
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0)
    throw IoError(options_.cache.string(),
                  "another batch is using it: wait for it, or choose another --cache");
  lock_ = std::move(lock);
  remove_named(options_.cache, /*unfinished=*/true, [&](const fs::path& file) {
    events_.notice("removing what a killed run left: " + printable(file.string()));
  });
}

void MomentsCache::provide(const fs::path& file, const SanitizeOptions& options,
                           const std::string& base_identity) {
  open();
  if (fits(file, options, base_identity)) return;
  fs::remove(file);
  collect({.base = options.base,
           .out = file,
           .retain = options.retain,
           .rendering = options.rendering,
           .max_length = options.max_length,
           .max_tokens = options.max_tokens,
           .token_cap = options.token_cap,
           .device = options.device},
          events_.progress, events_.notice);
}

void MomentsCache::release(const fs::path& file) {
  if (options_.keep_moments || !fs::exists(file)) return;
  open();
  fs::remove(file);
}

void MomentsCache::clean() {
  if (options_.keep_moments || !options_.own_cache || !exists()) return;
  open();
  remove_named(options_.cache, /*unfinished=*/false, nullptr);
  std::error_code not_empty;
  fs::remove(options_.cache, not_empty);
}

}  // namespace sagesan
