#pragma once

#include <functional>
#include <map>
#include <string>

#include "sagesan/checkpoint/checkpoint.h"
#include "sagesan/model/configuration.h"
#include "sagesan/support/tensor.h"

namespace sagesan {

/// A linear module in float32; undefined where the family has none.
struct Linear {
  Tensor weight;  ///< `[out, in]`
  Tensor bias;    ///< `[out]`, or undefined

  bool defined() const { return weight.defined(); }
  /// `x` `[tokens, in]` to `[tokens, out]`.
  Tensor operator()(const Tensor& x) const;
};

/// A norm in float32 over the last dimension; undefined where the family has none.
struct Norm {
  NormKind kind = NormKind::kRms;
  double epsilon = 0;
  Tensor gain;  ///< `[channels]`; of `kRmsPlusOne`, 1 is already added
  Tensor bias;  ///< `[channels]`, or undefined

  bool defined() const { return gain.defined(); }
  /// Before the gain.
  Tensor normalize(const Tensor& x) const;
  /// Gain and bias on what `normalize` gave.
  Tensor scale(const Tensor& normalized) const;
};

/// Weights that stay in memory, by what was read.
struct KeptWeights {
  std::map<std::string, Tensor> tensors;
};

/// Reads a model's weights for the computation, in float32 on the device. Everything throws
/// `InputError` where a value is not finite.
class WeightReader {
 public:
  /// All must outlive this. What is in `kept` is not read again, what is read is kept there, unless
  /// that is null.
  WeightReader(const ModelConfiguration& model, const Checkpoint& checkpoint, at::Device device,
               KeptWeights* kept)
      : model_(model), checkpoint_(checkpoint), device_(device), kept_(kept) {}

  Tensor to_compute(const Tensor& values, const StoredTensor& stored) const;
  /// A whole tensor.
  Tensor tensor(const std::string& name) const;
  /// Rows [start, start + count) of a matrix.
  Tensor rows(const std::string& name, int64_t start, int64_t count) const;
  /// Matrix `index` of a tensor `[matrices, out, in]`.
  Linear slice(const std::string& name, int64_t index) const;
  /// Module `pattern` of a layer; undefined where `pattern` is empty.
  Linear linear(const std::string& pattern, int64_t layer, bool bias, int64_t expert = 0) const;
  Norm norm(const std::string& pattern, int64_t layer) const;

 private:
  Tensor read_rows(const StoredTensor& stored, int64_t start, int64_t count) const;
  Tensor kept(const std::string& key, const std::function<Tensor()>& read) const;

  const ModelConfiguration& model_;
  const Checkpoint& checkpoint_;
  at::Device device_;
  KeptWeights* kept_;
};

/// The model's activation function, in place.
void activate(Activation activation, Tensor& x);

}  // namespace sagesan
