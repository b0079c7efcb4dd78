// Around libFuzzer: the target is what SAGESAN_FUZZ names.
#include <cstdio>
#include <cstdlib>

#include "fuzz.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* bytes, size_t size, size_t most);

namespace {
const sagesan::fuzz::Target* target = nullptr;
}

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  const char* name = std::getenv("SAGESAN_FUZZ");
  target = name == nullptr ? nullptr : sagesan::fuzz::find_target(name);
  if (target == nullptr) {
    std::fputs("sagesan_fuzz: SAGESAN_FUZZ names none of these:", stderr);
    for (const auto& known : sagesan::fuzz::targets())
      std::fprintf(stderr, " %s", known.name.c_str());
    std::fputs("\n", stderr);
    std::exit(2);
  }
  sagesan::fuzz::set_plain_mutator(LLVMFuzzerMutate);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  target->run({reinterpret_cast<const char*>(bytes), size});
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* bytes, size_t size, size_t most, unsigned seed) {
  return target->mutate == nullptr ? LLVMFuzzerMutate(bytes, size, most)
                                   : target->mutate(bytes, size, most, seed);
}
