#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "sagesan/checkpoint/safetensors.h"

namespace sagesan::testing {

using Weights = std::map<std::string, std::vector<double>>;

/// Numbers of the stored type `T` in `bytes`.
template <typename T>
std::vector<T> read_values(const std::vector<std::byte>& bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return values;
}

/// Every tensor of a safetensors file by name.
inline Weights read_weights(const std::filesystem::path& path) {
  const SafetensorsFile file(path);
  Weights result;
  for (const TensorInfo& tensor : file.tensors()) {
    std::vector<std::byte> bytes(tensor.bytes);
    file.read(tensor, 0, bytes);
    std::vector<double>& values = result[tensor.name];
    const auto assign = [&](const auto& stored) { values.assign(stored.begin(), stored.end()); };
    switch (tensor.dtype) {
      case DType::kF32:
        assign(read_values<float>(bytes));
        break;
      case DType::kF64:
        assign(read_values<double>(bytes));
        break;
      case DType::kI64:
        assign(read_values<int64_t>(bytes));
        break;
      case DType::kBF16:  // the upper half of a float
        for (const uint16_t half : read_values<uint16_t>(bytes))
          values.push_back(std::bit_cast<float>(uint32_t{half} << 16));
        break;
      default:
        throw std::runtime_error(tensor.name + " is of a type that this does not read");
    }
  }
  return result;
}

/// Largest difference of two tensors relative to the largest value of `scale`, over all tensors;
/// infinite where one has a tensor that the other lacks, or a number that is none.
inline double largest_difference(const Weights& a, const Weights& b, const Weights& scale) {
  constexpr double kNone = std::numeric_limits<double>::infinity();
  if (a.empty() || a.size() != b.size()) return kNone;
  double largest = 0;
  for (const auto& [name, values] : a) {
    const auto other = b.find(name);
    if (other == b.end() || other->second.size() != values.size()) return kNone;
    double difference = 0;
    double size = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      const double distance = std::abs(values[i] - other->second[i]);
      if (!std::isfinite(distance)) return kNone;
      difference = std::max(difference, distance);
      size = std::max(size, std::abs(scale.at(name)[i]));
    }
    if (difference > 0) largest = std::max(largest, difference / size);
  }
  return largest;
}

/// x * a + y * b, tensor by tensor.
inline Weights combine(double x, const Weights& a, double y, const Weights& b) {
  Weights result;
  for (const auto& [name, values] : a) {
    for (size_t i = 0; i < values.size(); ++i)
      result[name].push_back(x * values[i] + y * b.at(name)[i]);
  }
  return result;
}

}  // namespace sagesan::testing
