// The checks of `teeny doctor`, each a fact of this machine and what to do when it is missing.
#pragma once
#include <string>
#include <vector>

#include "teeny/core/context.h"
#include "teeny/core/json.h"

namespace teeny::cli {

struct DoctorCheck {
  std::string name, status;  // "ok", "info", "warning", "missing", "failed"
  std::string detail, advice;
};

std::vector<DoctorCheck> check_machine(const Json& machine);        // CPU, memory, GPUs that the driver shows
std::vector<DoctorCheck> check_engine_devices(const Json& devices, const Json& gpus);  // what engine.devices() returned; machine.gpus of the record
std::vector<DoctorCheck> check_languages();                         // interpreters and compilers of HumanEval-Mul
std::vector<DoctorCheck> check_storage();                           // cache, data sets, shipped model
std::vector<DoctorCheck> check_sandbox();                           // tier for generated programs


}  // namespace teeny::cli
