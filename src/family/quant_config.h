// Shared by the readers of quantization configs: one function a method, and the checks that they have in common.
#pragma once
#include <initializer_list>
#include <string>

#include "family/fields.h"
#include "teeny/core/error.h"
#include "teeny/family/spec.h"

namespace teeny::quantization {

inline constexpr const char* kWhere = "quantization";

template <class... A>
Error error(const Fields& fields, fmt::format_string<A...> format, A&&... args) {
  return input_error(kWhere, fields.subject(), "{}", fmt::format(format, std::forward<A>(args)...));
}

std::string lower(std::string text);
int64_t read_group(const Fields& fields, const char* key);  // absent: -1
int read_bits(const Fields& fields, const char* key, std::initializer_list<int> known);
void read_compressed_tensors(QuantConfig& out, const Fields& fields);

}  // namespace teeny::quantization
