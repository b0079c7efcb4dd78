// Gives every file of the corpus to its target; or one file, and says what came of it:
//
//     sagesan_fuzz [TARGET FILE]
//
// Files named valid* must load; whatever name another has, what it says must be a clear refusal or
// nothing.
#include <cstdio>
#include <fstream>
#include <iterator>

#include "fuzz.h"

namespace fs = std::filesystem;
using sagesan::fuzz::Target;

namespace {

int failures = 0;

void fail(const std::string& text) {
  std::fprintf(stderr, "sagesan_fuzz: %s\n", text.c_str());
  ++failures;
}

void replay(const Target& target, const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
  if (!stream) return fail("cannot read " + file.string());
  sagesan::fuzz::take_refusal();
  target.run(bytes);
  const std::string refusal = sagesan::fuzz::take_refusal();
  if (file.filename().string().starts_with("valid") && !refusal.empty())
    fail(file.string() + " must load: " + refusal);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3) {
    const Target* target = sagesan::fuzz::find_target(argv[1]);
    if (target == nullptr) return fail("no target " + std::string(argv[1])), 2;
    std::ifstream stream(argv[2], std::ios::binary);
    target->run(std::string{std::istreambuf_iterator<char>(stream), {}});
    const std::string refusal = sagesan::fuzz::take_refusal();
    std::puts(refusal.empty() ? "loads" : refusal.c_str());
    return refusal.empty() ? 0 : 3;
  }
  const fs::path corpus = SAGESAN_FUZZ_CORPUS;
  int files = 0;
  for (const Target& target : sagesan::fuzz::targets()) {
    if (!fs::is_directory(corpus / target.name)) {
      fail("no corpus for " + target.name);
      continue;
    }
    if (sagesan::fuzz::valid_seeds(target.name).empty()) fail("no valid seed for " + target.name);
    for (const auto& entry : fs::directory_iterator(corpus / target.name)) {
      std::fprintf(stderr, "%s/%s\n", target.name.c_str(),
                   entry.path().filename().c_str());  // the last one, on a crash
      replay(target, entry.path());
      ++files;
    }
  }
  for (const auto& entry : fs::directory_iterator(corpus)) {
    if (sagesan::fuzz::find_target(entry.path().filename().string()) == nullptr)
      fail("no target for " + entry.path().string());
  }
  std::printf("%zu targets, %d files, %d failures\n", sagesan::fuzz::targets().size(), files,
              failures);
  return failures == 0 ? 0 : 1;
}
