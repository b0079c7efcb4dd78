#include "fuzz.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <utility>

#include "sagesan/support/error.h"

namespace sagesan::fuzz {
namespace {

namespace fs = std::filesystem;

std::vector<Target>& registered() {
  static std::vector<Target> all;
  return all;
}

std::string refusal;
PlainMutator plain_mutator = nullptr;

class Scratch {
 public:
  Scratch() {
    std::error_code none;
    const fs::path memory = "/dev/shm";
    const fs::path parent =
        ::access(memory.c_str(), W_OK) == 0 ? memory : fs::temp_directory_path();
    std::string name = (parent / "sagesan_fuzz_XXXXXX").string();
    require(::mkdtemp(name.data()) != nullptr, "cannot make " + name);
    path = name;
  }
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  fs::path path;
};

void check_message(const Error& error, std::string_view names) {
  const std::string message = error.what();
  require(error.code() == ExitCode::kBadInput || error.code() == ExitCode::kUsage,
          "no mistake of the user's: " + message);
  require(!message.empty() && message.back() != '\n', "an empty line: " + message);
  for (size_t begin = 0; begin <= message.size();) {
    const size_t end = std::min(message.find('\n', begin), message.size());
    const std::string line = message.substr(begin, end - begin);
    require(!line.empty() && line.size() <= 4000, "too long a line, or an empty one: " + line);
    require(printable(line) == line, "not printable: " + line);
    begin = end + 1;
  }
  require(message.starts_with('/') || (!names.empty() && message.find(names) != std::string::npos),
          "does not say which file: " + message);
}

}  // namespace

const std::vector<Target>& targets() {
  std::vector<Target>& all = registered();
  std::sort(all.begin(), all.end(),
            [](const Target& a, const Target& b) { return a.name < b.name; });
  return all;
}

const Target* find_target(std::string_view name) {
  const auto found = std::find_if(targets().begin(), targets().end(),
                                  [&](const Target& t) { return t.name == name; });
  return found == targets().end() ? nullptr : &*found;
}

Registration::Registration(const char* name, void (*run)(std::string_view), Mutator mutate) {
  registered().push_back({name, run, mutate});
}

const fs::path& scratch() {
  static const Scratch directory;
  return directory.path;
}

fs::path put(const std::string& name, std::string_view bytes) {
  fs::path path = scratch() / name;
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  require(static_cast<bool>(file), "cannot write " + path.string());
  return path;
}

bool loads_or_refuses(const std::function<void()>& read, std::string_view names) {
  try {
    read();
    return true;
  } catch (const Error& error) {
    check_message(error, names);
    refusal = error.what();
    return false;
  } catch (const std::exception& error) {
    require(false, std::string("another exception: ") + error.what());
    return false;
  }
}

void require(bool holds, const std::string& what) {
  if (holds) return;
  std::fprintf(stderr, "sagesan_fuzz: %s\n", what.c_str());
  std::abort();
}

std::string take_refusal() { return std::exchange(refusal, ""); }

std::vector<fs::path> valid_seeds(const std::string& target) {
  std::vector<fs::path> seeds;
  for (const auto& entry : fs::directory_iterator(fs::path(SAGESAN_FUZZ_CORPUS) / target)) {
    if (entry.path().filename().string().starts_with("valid")) seeds.push_back(entry.path());
  }
  std::sort(seeds.begin(), seeds.end());
  return seeds;
}

void set_plain_mutator(PlainMutator mutator) { plain_mutator = mutator; }
size_t mutate_plain(uint8_t* bytes, size_t size, size_t most) {
  return plain_mutator == nullptr ? size : plain_mutator(bytes, size, most);
}
void mutate_part(std::string& part) {
  const size_t size = part.size();
  part.resize(size + 64);
  part.resize(mutate_plain(reinterpret_cast<uint8_t*>(part.data()), size, part.size()));
}

}  // namespace sagesan::fuzz
