// Weights as the GPU kernels hold them: codes and scales of whatever encoding, repacked; what has no packed form is f16.
#pragma once
#include <vector>

#include "teeny/encodings/encoding.h"
#include "teeny/kernels/packed_linear.h"
#include "teeny/model/loader.h"

namespace teeny {

// One weight on the device, ready to be packed: the parts that cuda::CodeSource points to.
struct PreparedWeight {
  cuda::PackedLayout layout;
  float factor = 1;
  Tensor codes, values, scale, zero, min, d, dmin, sc, mn, row_scale, bias;
  int64_t source_group = 0;
  int source_subs = 0;
  float largest_scale = 0;            // of a group, without its sign; 0 where groups have none
  bool decoded = false;               // an encoding without a packed form: held as f16
  int act_bits = 16;                  // 8: the input is rounded to int8 first
  Tensor input_scale, input_zero;     // (1) f32 with static activations
  bool can_join(const PreparedWeight& other) const;  // one packed matrix, one input
};
// Throws Input when a value is beyond f16's range. The first takes any weight (N, K), `module` only names it.
PreparedWeight prepare_weight(const Weight& weight, const std::string& module, int64_t N, int64_t K, at::Device device);
PreparedWeight prepare_weight(const WeightLoader& loader, const std::string& module, int64_t N, int64_t K, at::Device device);

// One or more linears with the same input in one packed matrix.
struct PackedWeight {
  struct Part {
    int64_t tile0 = 0, tile_stride = 1, rows = 0;
  };
  cuda::PackedLayout layout;
  float factor = 1, unit = 1;         // cuda::PackedView
  Tensor storage, row_scale, bias;    // uint8; (N) f32; (N) f32 or undefined
  std::vector<Part> parts;
  int act_bits = 16;
  Tensor input_scale, input_zero;

  cuda::PackedView view() const;
  uint64_t bytes() const;             // read by one product
  void keep_on_host();                // page-locked: kernels read it over the bus
  // out (rows of part, K) f16: rows first .. of the part, decoded.
  void unpack(size_t part, int64_t first, int64_t rows, const Tensor& out, cudaStream_t stream = nullptr) const;
};
PackedWeight pack_weights(std::vector<PreparedWeight> weights, bool interleave = false);

}  // namespace teeny
