// Makes the pairs of one seed on all cores and says how long it took: to measure the pair maker.
//
//     sagesan_make_pairs DIRECTORY SEED [SCALE [SECONDS]]
//
// SCALE: 1 (default), 2 or 4; SECONDS of fine-tuning, for docs/evidence.md (pair_maker.h)

#include <chrono>
#include <cstdio>
#include <string>

#include "pair_maker/pair_maker.h"
#include "sagesan/support/threads.h"

int main(int argc, char** argv) {
  if (argc < 3 || argc > 5) return 2;
  try {
    using Clock = std::chrono::steady_clock;
    sagesan::set_threads(0);
    const auto start = Clock::now();
    const auto seconds = [&] {
      return std::chrono::duration<double>(Clock::now() - start).count();
    };
    double last = 0;
    const auto progress = [&](std::string_view stage, double done, double total) {
      // An unlearning that ends early jumps from its last step to the total.
      if (done < total) {
        last = done;
      } else {
        std::printf("%s: last step %g of %g, %.1f s\n", std::string(stage).c_str(), last, total,
                    seconds());
      }
    };
    sagesan::demo::make_pairs(argv[1], std::stoull(argv[2]), progress,
                              argc >= 4 ? std::stoll(argv[3]) : 1,
                              argc == 5 ? std::stod(argv[4]) : 0);
    std::printf("all %.1f s\n", seconds());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
