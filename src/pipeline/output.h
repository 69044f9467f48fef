// Where a plan's tensors go: a Hugging Face directory or a GGUF file. Nothing has its final name before finish().
#pragma once
#include <memory>
#include <optional>
#include <span>

#include "teeny/calib/calibration.h"
#include "teeny/containers/sink.h"
#include "teeny/core/context.h"
#include "teeny/plan/plan.h"
#include "teeny/tensor/quant_tensor.h"

namespace teeny {

struct OutputNotes {
  QuantizeOptions options;  // the knobs, for the files' metadata
  std::string importance_file, importance_dataset;
  int64_t importance_entries = 0, importance_chunks = 0;
};

class Output {
 public:
  // Refuses an existing `path` without force (Usage), an output that is the input (Usage), too little space (Device).
  Output(const std::string& path, const Plan& plan, const TensorSource& source, const OutputNotes& notes);
  void put(const PlannedTensor& tensor, const QuantTensor& packed);     // every part
  void put_plain(const PlannedTensor& tensor, const Tensor& values);    // cast to the planned dtype; weights and vectors
  // Rows [begin, begin + rows) of a one-part weight, as stored bytes.
  void put_rows(const PlannedTensor& tensor, int64_t begin, std::span<const std::byte> stored);  // thread-safe
  bool reorders_rows(const PlannedTensor& tensor) const;  // the file has this weight's rows in another order
  void finish();
  const std::string& path() const { return path_; }                     // what to open: of several parts the first

 private:
  std::string path_;
  const Plan& plan_;
  const TensorSource& source_;
  const OutputNotes& notes_;
  std::optional<OutputDirectory> directory_;
  std::unique_ptr<TensorSink> sink_;
};

void check_output_path(const std::string& path, const TensorSource& source, bool force);
// config.json of the output, with quantization_config when the plan quantizes.
Json output_config(const Plan& plan, const TensorSource& source, const OutputNotes& notes);

}  // namespace teeny
