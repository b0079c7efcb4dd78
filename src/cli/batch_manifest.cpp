#include "batch_manifest.h"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "command.h"
#include "nearest_name.h"
#include "sagesan/support/error.h"
#include "sagesan/support/json.h"

namespace sagesan::cli {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMostBytes = uint64_t{1} << 26;
constexpr size_t kMostJobs = 10'000;  ///< each is read in about a millisecond

bool counts_for_the_batch(const std::string& key) {
  return key == "threads" || key == "overwrite" || key == "dry-run" || key == "profile";
}

/// A job's part of the manifest and the options that it fills in.
class JobReader {
 public:
  /// `directory` is what file names are relative to.
  JobReader(const Json& defaults, const fs::path& directory)
      : defaults_(defaults), directory_(directory), parse_(add_sanitize_options(app_, common_)) {}

  /// Throws `UsageError`.
  SanitizeOptions read(const Json& job) {
    PendingWords own = read_words(job);
    for (const auto& [option, words] : own) give(*option, words);
    PendingWords pending;
    for (auto& [option, words] : read_words(defaults_)) {
      const bool said = job.contains(option->get_lnames().front());
      if (!said && !words.empty()) pending[option] = std::move(words);
    }
    drop_excluded(common_, pending, [](const CLI::Option&, const CLI::Option&) {});
    for (const auto& [option, words] : pending) give(*option, words);
    check_exclusions(common_);
    for (CLI::Option* option : app_.get_options([](const CLI::Option*) { return true; })) {
      if (option->get_required() && option->count() == 0)
        throw UsageError(option->get_name() + " is required");
      try {
        if (option->count() > 0) option->run_callback();
      } catch (const CLI::ParseError& error) {
        throw UsageError(error.what());
      }
    }
    return parse_();
  }

  /// The words of every option that `json` names, none where it is to have none.
  PendingWords read_words(const Json& json) {
    PendingWords words;
    for (const auto& [key, value] : json.items()) {
      if (key == "name") continue;
      if (counts_for_the_batch(key))
        throw UsageError(fmt::format("{} counts for all jobs: sagesan batch --{}", key, key));
      CLI::Option* option = find_option(app_, key);
      if (option == nullptr)
        throw UsageError("unknown option " + quote(key) + did_you_mean(key, option_names(app_)));
      words[option] = value.is_null() ? std::vector<std::string>{} : read(*option, key, value);
    }
    return words;
  }

 private:
  static void give(CLI::Option& option, const std::vector<std::string>& words) {
    for (const std::string& word : words) option.add_result(word);
  }

  /// The words that would have been typed after the option; for a flag, one where it is set.
  std::vector<std::string> read(const CLI::Option& option, const std::string& key,
                                const Json& value) const {
    if (option.get_items_expected_max() == 0) {
      if (!value.is_boolean()) throw UsageError(key + ": expected true or false");
      return value.get<bool>() ? std::vector<std::string>{"true"} : std::vector<std::string>{};
    }
    if (!value.is_array()) return {read_word(option, key, value)};
    if (option.get_multi_option_policy() != CLI::MultiOptionPolicy::TakeAll)
      throw UsageError(key + ": expected one value, found a list");
    std::vector<std::string> words;
    for (const Json& item : value) words.push_back(read_word(option, key, item));
    return words;
  }

  std::string read_word(const CLI::Option& option, const std::string& key,
                        const Json& value) const {
    if (takes_number(option)) {
      if (!value.is_number()) throw UsageError(key + ": expected a number");
      return value.dump();
    }
    if (!value.is_string()) throw UsageError(key + ": expected a string");
    auto word = value.get<std::string>();
    return is_file_name(option, word) ? (directory_ / word).string() : word;
  }

  /// By the option's type name; of fixed words and a FILE, whatever is none of the words.
  static bool is_file_name(const CLI::Option& option, const std::string& word) {
    if (word.empty()) return false;
    bool takes_files = false;
    std::istringstream types(option.get_type_name());
    for (std::string type; std::getline(types, type, '|');) {
      if (type == word) return false;
      if (type == "FILE" || type == "DIR") takes_files = true;
    }
    return takes_files;
  }

  const Json& defaults_;
  const fs::path& directory_;
  CLI::App app_;
  Common common_;
  std::function<SanitizeOptions()> parse_;
};

/// The lines of every problem, and the exit code of the first.
class Problems {
 public:
  /// Runs `step`; `where` opens each line of an `Error` in it. Returns whether there was none.
  bool check(const std::string& where, const std::function<void()>& step) {
    try {
      step();
      return true;
    } catch (const Error& error) {
      if (!code_) code_ = error.code();
      std::istringstream lines(error.what());
      for (std::string line; std::getline(lines, line);)
        text_.append(text_.empty() ? "" : "\n").append(where).append(line);
      return false;
    }
  }
  void finish() const {
    if (code_) throw Error(*code_, text_);
  }

 private:
  std::string text_;
  std::optional<ExitCode> code_;
};

/// Its own name, else that of its output, else its number.
std::string job_name(const Json& job, size_t number) {
  const auto text = [&](const char* key) {
    return job.contains(key) && job[key].is_string() ? job[key].get<std::string>() : std::string();
  };
  for (const char* key : {"name", "out"}) {
    if (std::string name = text(key); !name.empty()) return name;
  }
  return std::to_string(number);
}

void check_name(const Json& job, const std::string& name, std::set<std::string>& names) {
  const auto given = job.find("name");
  if (given != job.end() && (!given->is_string() || given->get<std::string>().empty()))
    throw UsageError("name: expected a string that is not empty");
  if (!names.insert(name).second) throw UsageError("another job has that name");
}

}  // namespace

std::vector<BatchJob> read_manifest(const fs::path& manifest, const std::vector<fs::path>& also) {
  const Json json = read_json_file(manifest, kMostBytes);
  const JsonObject object(json, manifest.string());
  for (const auto& [key, value] : json.items()) {
    if (key != "defaults" && key != "jobs")
      object.fail(key, "unknown key; expected \"defaults\" and \"jobs\"");
  }
  const Json none = Json::object();
  const Json* given = object.find("defaults");
  const Json& defaults = given == nullptr ? none : *given;
  if (!defaults.is_object()) object.fail("defaults", "expected an object of options");
  const Json& list = object.require("jobs");
  if (!list.is_array() || list.empty()) object.fail("jobs", "expected a list of jobs");
  if (list.size() > kMostJobs)
    object.fail("jobs", fmt::format("{} jobs; at most {} in one manifest", list.size(), kMostJobs));

  const fs::path directory = manifest.parent_path();
  Problems problems;
  const bool valid = problems.check("defaults: ", [&] {
    if (defaults.contains("name") || defaults.contains("out"))
      throw UsageError("every job has a name and an out of its own");
    JobReader(none, directory).read_words(defaults);
  });
  std::vector<BatchJob> jobs;
  std::set<std::string> names;
  for (const Json& job : list) {
    const size_t number = jobs.size() + 1;
    if (!job.is_object()) object.fail("jobs", fmt::format("job {}: expected an object", number));
    jobs.push_back({.name = job_name(job, number)});
    const std::string title = "job " + printable(jobs.back().name) + ": ";
    problems.check(title, [&] { check_name(job, jobs.back().name, names); });
    problems.check(title, [&] {
      JobReader reader(defaults, directory);
      if (!valid) {
        reader.read_words(job);  // what else is wrong may follow from the defaults
      } else {
        jobs.back().options = reader.read(job);
      }
    });
  }
  problems.finish();
  check_batch_outputs(jobs, also);
  return jobs;
}

}  // namespace sagesan::cli
