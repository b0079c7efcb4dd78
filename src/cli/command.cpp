#include "command.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/mman.h>

#include <array>
#include <charconv>
#include <cmath>
#include <future>
#include <new>
#include <system_error>
#include <thread>

#include "sagesan/support/error.h"
#include "sagesan/support/utf8.h"

namespace sagesan::cli {

CLI::Option* add_list(CLI::App& command, const std::string& name, std::vector<std::string>& values,
                      const std::string& help) {
  return command.add_option(name, values, help)
      ->expected(1)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

bool Exclusion::applies(const std::vector<std::string>& words) const {
  return !words.empty() && (value.empty() || words.back() == value);
}

std::string Exclusion::message() const {
  const std::string name = option->get_name();
  if (value.empty())
    return fmt::format("{} and {} cannot be given together", name, other->get_name());
  return fmt::format("{} {} takes no {}: {}", name, value, other->get_name(), reason);
}

void exclude(Common& common, CLI::App& command, const std::string& option, const std::string& value,
             const std::vector<std::string>& others, const std::string& reason) {
  for (const std::string& other : others) {
    common.exclusions.push_back(
        {command.get_option(option), value, command.get_option(other), reason});
  }
}

void check_exclusions(const Common& common) {
  for (const Exclusion& exclusion : common.exclusions) {
    if (exclusion.applies(exclusion.option->results()) && exclusion.other->count() > 0)
      throw UsageError(exclusion.message());
  }
}

CLI::Option* find_option(CLI::App& command, const std::string& key) {
  for (CLI::Option* option : command.get_options([](const CLI::Option*) { return true; })) {
    const std::vector<std::string>& names = option->get_lnames();
    if (option != command.get_help_ptr() && !names.empty() && names.front() == key) return option;
  }
  return nullptr;
}

std::vector<std::string> option_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    if (option == command.get_help_ptr()) continue;
    names.insert(names.end(), option->get_lnames().begin(), option->get_lnames().end());
  }
  return names;
}

const Exclusion* drop_excluded(
    const Common& common, PendingWords& pending,
    const std::function<void(const CLI::Option& dropped, const CLI::Option& winner)>& dropped) {
  const auto is_pending = [&](const Exclusion& exclusion) {
    const auto found = pending.find(exclusion.option);
    return found != pending.end() && exclusion.applies(found->second);
  };
  const auto drop = [&](CLI::Option* option, const CLI::Option& winner) {
    pending.erase(option);
    dropped(*option, winner);
  };
  for (const Exclusion& exclusion : common.exclusions) {
    if (exclusion.applies(exclusion.option->results()) && pending.contains(exclusion.other))
      drop(exclusion.other, *exclusion.option);
    if (is_pending(exclusion) && exclusion.other->count() > 0)
      drop(exclusion.option, *exclusion.other);
  }
  for (const Exclusion& exclusion : common.exclusions) {
    if (is_pending(exclusion) && pending.contains(exclusion.other)) return &exclusion;
  }
  return nullptr;
}

double parse_number(const std::string& option, const std::string& text, double least, double most) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || rest != end || !std::isfinite(value)) {
    throw UsageError(fmt::format("{}: {} is no number", option, quote(text)));
  }
  if (value < least || value > most) {
    throw UsageError(fmt::format("{} {}: expected {} to {}", option, text, least, most));
  }
  return value;
}

int64_t parse_integer(const std::string& option, const std::string& text, int64_t least,
                      int64_t most) {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || rest != end) {
    throw UsageError(fmt::format("{}: {} is no whole number", option, quote(text)));
  }
  if (value < least || value > most) {
    throw UsageError(fmt::format("{} {}: expected {} to {}", option, text, least, most));
  }
  return value;
}

int64_t parse_max_length(const std::string& text) {
  return parse_integer("--max-length", text, 1, 1 << 24);
}

uint64_t parse_size(const std::string& option, const std::string& text) {
  constexpr std::array<std::pair<std::string_view, int64_t>, 8> kUnits = {{{"KB", 1'000},
                                                                           {"MB", 1'000'000},
                                                                           {"GB", 1'000'000'000},
                                                                           {"KiB", 1 << 10},
                                                                           {"MiB", 1 << 20},
                                                                           {"GiB", 1 << 30},
                                                                           {"B", 1},
                                                                           {"", 1}}};
  for (const auto& [unit, bytes] : kUnits) {
    if (!text.ends_with(unit)) continue;
    const std::string number = text.substr(0, text.size() - unit.size());
    if (number.empty() || number.find_first_not_of("0123456789") != std::string::npos) break;
    const int64_t most = (int64_t{1} << 50) / bytes;
    return static_cast<uint64_t>(parse_integer(option, number, 1, most) * bytes);
  }
  throw UsageError(
      fmt::format("{} {}: expected a whole number of bytes, KB, MB, GB, KiB, MiB or GiB: 5GB",
                  option, quote(text)));
}

std::filesystem::path parse_path(const std::string& option, const std::string& text) {
  if (text.empty()) throw UsageError(option + ": the name is empty");
  if (text.find('\0') != std::string::npos)  // the system would end the name there
    throw UsageError(fmt::format("{} {}: NUL in the name", option, quote(text)));
  return text;
}

void check_text_name(const std::string& option, const std::string& name) {
  if (find_invalid_utf8(name) == std::string::npos) return;
  throw UsageError(fmt::format("{} {}: the name is no UTF-8", option, quote(name)));
}

std::pair<std::string, std::filesystem::path> parse_named_path(const std::string& option,
                                                               const std::string& text) {
  const std::filesystem::path path = parse_path(option, text);
  const size_t equals = text.find('=');
  if (equals != std::string::npos && text.find('/') > equals && !std::filesystem::exists(path)) {
    if (equals == 0 || equals + 1 == text.size())
      throw UsageError(fmt::format("{} {}: expected PATH or NAME=PATH", option, quote(text)));
    check_text_name(option, text.substr(0, equals));
    return {text.substr(0, equals), text.substr(equals + 1)};
  }
  const auto whole = std::filesystem::absolute(path).lexically_normal();
  return {printable((whole.has_filename() ? whole : whole.parent_path()).filename().string()),
          path};
}

std::vector<std::string> split_list(const std::string& option, const std::string& text) {
  std::vector<std::string> result;
  if (text.empty()) return result;
  for (size_t start = 0; start <= text.size();) {
    const size_t comma = std::min(text.find(',', start), text.size());
    const size_t first = std::min(text.find_first_not_of(' ', start), comma);
    if (first == comma)
      throw UsageError(fmt::format("{} {}: an empty name between commas", option, quote(text)));
    const size_t last = text.find_last_not_of(' ', comma - 1);
    result.push_back(text.substr(first, last - first + 1));
    start = comma + 1;
  }
  if (text.back() == ',')
    throw UsageError(fmt::format("{} {}: an empty name between commas", option, quote(text)));
  return result;
}

void add_pair_options(CLI::App& command, std::string& base, std::string& unlearned) {
  command.add_option("--base", base, "checkpoint before unlearning")->required()->type_name("DIR");
  command
      .add_option("--unlearned", unlearned,
                  "checkpoint after unlearning: a directory, a weights file or a PEFT adapter")
      ->required()
      ->type_name("FILE");
}

void add_text_options(CLI::App& command, Common& common, RenderingWords& rendering,
                      std::string& max_length) {
  command
      .add_option("--retain-fields", rendering.fields,
                  "fields of a record that make its text: TEXT or QUESTION,ANSWER")
      ->type_name("A,B");
  std::string names;
  for (const ChatTemplate& chat : named_templates()) names += chat.name + "|";
  command
      .add_option("--retain-template", rendering.chat_template,
                  "render questions with answers, and 'messages', as open-unlearning trains on "
                  "them, or by a file with {question} and {answer}")
      ->type_name(names + "FILE")
      ->check([](const std::string& name) { return name.empty() ? "the name is empty" : ""; });
  command.add_flag("--chat-template", rendering.of_model,
                   "the --retain-template that renders as the model's own chat template, where "
                   "that is a known one");
  command
      .add_option(
          "--max-length", max_length,
          max_length.empty() ? "tokens of one text; no limit where absent" : "tokens of one text")
      ->type_name("N")
      ->capture_default_str();
  command
      .add_option("--long-texts", rendering.long_texts,
                  "what becomes of longer texts: cut, or split into pieces of --max-length; an "
                  "answer is always cut")
      ->type_name("cut|split")
      ->capture_default_str();
  exclude(common, command, "--retain-template", "", {"--chat-template"});
}

Rendering parse_rendering(const RenderingWords& words) {
  Rendering rendering{.fields = split_list("--retain-fields", words.fields),
                      .chat_template = words.chat_template,
                      .of_model = words.of_model};
  rendering.split_long_texts =
      parse_choice<std::string_view>("--long-texts", words.long_texts, {"cut", "split"},
                                     [](std::string_view name) { return name; }) == "split";
  check_rendering(rendering);
  return rendering;
}

void add_max_tokens(CLI::App& command, std::string& max_tokens) {
  command.add_option("--max-tokens", max_tokens, "tokens of all texts together; 0: no limit")
      ->type_name("N")
      ->capture_default_str();
}

void add_token_cap(CLI::App& command, std::string& token_cap) {
  command
      .add_option("--token-cap", token_cap,
                  "most that |x|^2 of a token may be, in medians of its text: tames "
                  "attention sinks; 0: none")
      ->type_name("C")
      ->capture_default_str();
}

void add_machine_options(CLI::App& command, std::string& device, Common& common) {
  command.add_option("--device", device, "auto, cpu, cuda or cuda:N")
      ->type_name("auto|cpu|cuda|cuda:N")
      ->capture_default_str();
  command.add_option("--threads", common.threads, "CPU threads; 0: all cores")
      ->type_name("N")
      ->capture_default_str();
  command.add_flag("--profile", common.profile, "print each stage's time and bytes to stderr");
}

void print_profile() {
  clear_progress_bar();
  const std::vector<StageTime> times = jobs().stage_times();
  double all = 0;
  for (const StageTime& time : times) all += time.seconds;
  fmt::print(stderr, "{:<12} {:>9} {:>6} {:>10} {:>7}\n", "stage", "seconds", "share", "MB",
             "GB/s");
  for (const auto& [stage, seconds, bytes] : times) {
    fmt::print(stderr, "{:<12} {:>9.3f} {:>5.1f}%", stage, seconds, 100 * seconds / all);
    if (bytes > 0) {
      fmt::print(stderr, " {:>10.1f} {:>7.2f}", static_cast<double>(bytes) / 1e6,
                 static_cast<double>(bytes) / 1e9 / seconds);
    }
    fmt::print(stderr, "\n");
  }
}

namespace {

/// Throws `IoError` where so many threads cannot be started at once: libraries would wait for them
/// for ever.
void check_threads_start(size_t count) {
  std::promise<void> all_started;
  const std::shared_future<void> wait = all_started.get_future().share();
  std::vector<std::thread> threads;
  std::string failure;
  try {
    while (threads.size() < count) threads.emplace_back([wait] { wait.wait(); });
  } catch (const std::system_error& error) {
    failure = error.code().message();
  }
  all_started.set_value();
  for (std::thread& thread : threads) thread.join();
  if (!failure.empty()) {
    throw IoError("threads", fmt::format("only {} of {} can be started ({}): raise the limit of "
                                         "processes, or of memory, or set fewer --threads",
                                         threads.size(), count, failure));
  }
}

/// Throws `std::bad_alloc` where the process may not have the buffer of which OpenBLAS asks again
/// and again, for ever, where there is none.
void check_buffer() {
  constexpr size_t kBytes = size_t{160} << 20;
  void* buffer = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (buffer == MAP_FAILED) throw std::bad_alloc();
  ::munmap(buffer, kBytes);
}

}  // namespace

void apply_threads(const Common& common) {
  const auto threads = static_cast<int>(parse_integer("--threads", common.threads, 0, 1024));
  // BLAS and libtorch start as many as there are cores at first, OpenMP as many as are asked for.
  const size_t cores = std::thread::hardware_concurrency();
  const size_t asked = threads > 0 ? static_cast<size_t>(threads) : cores;
  const size_t of_each = std::max(asked, cores);
  check_threads_start(2 * of_each + asked);
  jobs();
  check_threads_start(of_each + asked);  // BLAS has its own now, and memory was taken
  check_buffer();
  jobs().set_threads(threads);
  if (jobs().is_reference_blas()) {
    notice(common.quiet)(
        "libtorch runs on the reference BLAS, 30 times slower than OpenBLAS: install "
        "libopenblas0-pthread");
  }
}

std::function<void(const std::string&)> notice(bool quiet) {
  return [quiet](const std::string& line) {
    if (quiet) return;
    clear_progress_bar();
    spdlog::warn(line);
  };
}

}  // namespace sagesan::cli
