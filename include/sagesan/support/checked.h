#pragma once

#include <concepts>
#include <optional>

namespace sagesan {

/// `a * b`, or nothing where it overflows `T`.
template <std::integral T>
std::optional<T> checked_multiply(T a, T b) {
  T result;
  if (__builtin_mul_overflow(a, b, &result)) return std::nullopt;
  return result;
}

/// `a + b`, or nothing where it overflows `T`.
template <std::integral T>
std::optional<T> checked_add(T a, T b) {
  T result;
  if (__builtin_add_overflow(a, b, &result)) return std::nullopt;
  return result;
}

}  // namespace sagesan
