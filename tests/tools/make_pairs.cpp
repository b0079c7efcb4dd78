// Makes the pairs of one seed on all cores and says how long it took: to measure the pair maker.
//
//     sagesan_make_pairs DIRECTORY SEED

#include <chrono>
#include <cstdio>
#include <string>

#include "pair_maker/pair_maker.h"
#include "sagesan/support/threads.h"

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  try {
    using Clock = std::chrono::steady_clock;
    sagesan::set_threads(0);
    auto start = Clock::now();
    sagesan::demo::make_pairs(
        argv[1], std::stoull(argv[2]), [&](std::string_view stage, double done, double total) {
          if (done < total) return;
          const std::chrono::duration<double> taken = Clock::now() - start;
          std::printf("%s %.1f s\n", std::string(stage).c_str(), taken.count());
        });
    const std::chrono::duration<double> taken = Clock::now() - start;
    std::printf("all %.1f s\n", taken.count());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
