#pragma once

#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "sagesan/checkpoint/safetensors.h"

namespace sagesan::testing {

using Weights = std::map<std::string, std::vector<double>>;

/// Every tensor of a safetensors file of F32 or F64 tensors, by name.
inline Weights read_weights(const std::filesystem::path& path) {
  const SafetensorsFile file(path);
  Weights result;
  for (const TensorInfo& tensor : file.tensors()) {
    std::vector<std::byte> bytes(tensor.bytes);
    file.read(tensor, 0, bytes);
    std::vector<double>& values = result[tensor.name];
    if (tensor.dtype == DType::kF32) {
      std::vector<float> floats(bytes.size() / sizeof(float));
      std::memcpy(floats.data(), bytes.data(), bytes.size());
      values.assign(floats.begin(), floats.end());
    } else if (tensor.dtype == DType::kF64) {
      values.resize(bytes.size() / sizeof(double));
      std::memcpy(values.data(), bytes.data(), bytes.size());
    }
  }
  return result;
}

/// Largest difference of two tensors relative to the largest value of `scale`, over all tensors.
inline double largest_difference(const Weights& a, const Weights& b, const Weights& scale) {
  double largest = 0;
  for (const auto& [name, values] : a) {
    double difference = 0;
    double size = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      difference = std::max(difference, std::abs(values[i] - b.at(name)[i]));
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
