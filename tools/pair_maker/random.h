#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <string_view>
#include <utility>
#include <vector>

namespace sagesan::demo {

/// SplitMix64 (Steele, Lea and Flood, 2014): the same numbers on every machine, which the standard
/// library's distributions do not promise.
class Random {
 public:
  /// Every `purpose` gets numbers of its own from one seed.
  Random(uint64_t seed, std::string_view purpose) : state_(seed) {
    for (const char c : purpose) state_ = next() ^ static_cast<unsigned char>(c);
  }

  uint64_t next() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15ULL;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ z >> 27) * 0x94D049BB133111EBULL;
    return z ^ z >> 31;
  }

  /// One of 0 ... count - 1; the bias of the remainder is 2^-50 here.
  size_t below(size_t count) { return static_cast<size_t>(next() % count); }

  template <typename T>
  const T& choose(const std::vector<T>& values) {
    return values[below(values.size())];
  }

  /// In (0, 1).
  double uniform() { return (static_cast<double>(next() >> 11) + 0.5) * 0x1p-53; }

  /// Standard normal (Box and Muller).
  double normal() {
    const double radius = std::sqrt(-2 * std::log(uniform()));
    return radius * std::cos(2 * std::numbers::pi * uniform());
  }

  template <typename T>
  void shuffle(std::vector<T>& values) {
    for (size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[below(i)]);
  }

 private:
  uint64_t state_;
};

}  // namespace sagesan::demo
