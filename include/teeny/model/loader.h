// Tensors of a model file under their canonical names, whatever container and encoding they are stored in.
#pragma once
#include <optional>
#include <string>

#include "teeny/containers/source.h"
#include "teeny/family/spec.h"
#include "teeny/tensor/quant_tensor.h"

namespace teeny {

at::ScalarType scalar_type(DType dtype);                       // Bug error for block types
DType dtype_of(at::ScalarType type);
Tensor read_tensor(const TensorSource& source, const TensorInfo& info);  // scalar dtypes; block types as uint8 (rows, bytes)

class WeightLoader {
 public:
  WeightLoader(const TensorSource& source, const ModelSpec& spec);
  // `module` without ".weight": "model.layers.0.mlp.up_proj", "lm_head", "model.embed_tokens". Shape is checked against
  // (N, K). Rows are in canonical order. Input error when no form of it is in the file.
  Weight linear(const std::string& module, int64_t N, int64_t K) const;
  std::optional<Tensor> bias(const std::string& module, int64_t N) const;  // f32
  Tensor vector(const std::string& name, int64_t size) const;              // norms: f32
  bool has(const std::string& canonical) const;
  // The one tensor "<module>.weight" that holds the weight in canonical row order, or nullptr.
  const TensorInfo* stored(const std::string& module) const;
  const QuantConfig& quant() const { return quant_; }
  // True when symmetric zero points say v2 although the label says v1, or the reverse: the tensors are trusted.
  bool label_contradicted() const { return label_contradicted_; }

 private:
  const TensorInfo* find(const std::string& canonical) const;
  Weight from_gguf(const std::string& module, int64_t N, int64_t K) const;
  QuantTensor packed(const EncodingSpec& spec, const std::string& module, int64_t N, int64_t K) const;
  QuantTensor bnb4(const EncodingSpec& spec, const std::string& module, int64_t N, int64_t K) const;
  Tensor part(const TensorInfo& info, const EncodingPart& wanted) const;
  Tensor substitute(const EncodingSpec& spec, const std::string& module, const EncodingPart& wanted, int64_t N, int64_t K) const;

  const TensorSource& source_;
  const ModelSpec& spec_;
  QuantConfig quant_;
  mutable bool label_contradicted_ = false;
};

}  // namespace teeny
