// Result records as text for people, one function a command. A field that a record lacks is left out of its text.
#pragma once
#include <string>

#include "teeny/core/json.h"

namespace teeny::cli {

std::string render_quantize(const Json& record, bool colour);  // convert too
std::string render_bench(const Json& record, bool colour);
std::string render_eval(const Json& record, bool colour);
std::string render_generate(const Json& record, bool terminal);
std::string render_inspect(const Json& record, bool colour, bool list_tensors);
std::string render_doctor(const Json& record, bool colour);

}  // namespace teeny::cli
