// The shape that readers of records rely on, as a table of paths and types. docs/result.schema.json describes records
// completely; this refuses what would mislead a reader, and lets fields of later versions pass.
#include <array>

#include "teeny/core/error.h"
#include "teeny/record/record.h"

namespace teeny {
namespace {

enum class Type { Text, Number, Count, Bool, Array, Object };
enum class Need { Required, Optional, Nullable };  // Nullable: may be absent or null

struct Field {
  const char* path;  // "bench.cases[].median": [] stands for every element
  Type type;
  Need need;
};

// Parents stand before their children; a child is only looked for where its parent is.
constexpr std::array kFields{
    Field{"command", Type::Text, Need::Required},
    Field{"id", Type::Text, Need::Required},
    Field{"started", Type::Text, Need::Required},
    Field{"seconds", Type::Number, Need::Required},
    Field{"status", Type::Text, Need::Required},
    Field{"teeny", Type::Object, Need::Required},
    Field{"teeny.version", Type::Text, Need::Required},
    Field{"machine", Type::Object, Need::Required},
    Field{"machine.cpu", Type::Text, Need::Required},
    Field{"machine.cores", Type::Count, Need::Required},
    Field{"machine.memory_bytes", Type::Count, Need::Required},
    Field{"machine.gpus", Type::Array, Need::Required},
    Field{"machine.gpus[]", Type::Object, Need::Required},
    Field{"machine.gpus[].name", Type::Text, Need::Required},
    Field{"args", Type::Array, Need::Required},
    Field{"args[]", Type::Text, Need::Required},
    Field{"seed", Type::Count, Need::Required},
    Field{"warnings", Type::Array, Need::Required},
    Field{"warnings[]", Type::Object, Need::Required},
    Field{"warnings[].code", Type::Text, Need::Required},
    Field{"warnings[].message", Type::Text, Need::Required},
    Field{"model", Type::Object, Need::Nullable},
    Field{"model.path", Type::Text, Need::Required},
    Field{"model.name", Type::Text, Need::Required},
    Field{"model.family", Type::Text, Need::Nullable},
    Field{"model.parameters", Type::Count, Need::Nullable},
    Field{"model.fingerprint", Type::Text, Need::Nullable},
    Field{"model.method", Type::Text, Need::Nullable},
    Field{"model.bits", Type::Number, Need::Nullable},
    Field{"model.group", Type::Number, Need::Nullable},
    Field{"model.format", Type::Text, Need::Nullable},
    Field{"model.type", Type::Text, Need::Nullable},
    Field{"model.bytes", Type::Count, Need::Nullable},
    Field{"model.bits_per_weight", Type::Number, Need::Nullable},
    Field{"model.act_bits", Type::Number, Need::Nullable},
    Field{"quantize", Type::Object, Need::Nullable},
    Field{"quantize.peak_host_bytes", Type::Count, Need::Nullable},
    Field{"quantize.peak_device_bytes", Type::Count, Need::Nullable},
    Field{"quantize.tensors", Type::Array, Need::Nullable},
    Field{"quantize.tensors[]", Type::Object, Need::Required},
    Field{"quantize.tensors[].name", Type::Text, Need::Required},
    Field{"quantize.tensors[].encoding", Type::Text, Need::Required},
    Field{"quantize.tensors[].bytes", Type::Count, Need::Required},
    Field{"quantize.tensors[].relative_error", Type::Number, Need::Nullable},
    Field{"quantize.tensors[].sqnr_db", Type::Number, Need::Nullable},
    Field{"bench", Type::Object, Need::Nullable},
    Field{"bench.peak_host_bytes", Type::Count, Need::Nullable},
    Field{"bench.peak_device_bytes", Type::Count, Need::Nullable},
    Field{"bench.energy", Type::Object, Need::Nullable},
    Field{"bench.energy.source", Type::Text, Need::Required},
    Field{"bench.energy.joules", Type::Number, Need::Nullable},
    Field{"bench.energy.joules_per_token", Type::Number, Need::Nullable},
    Field{"bench.cases", Type::Array, Need::Required},
    Field{"bench.cases[]", Type::Object, Need::Required},
    Field{"bench.cases[].name", Type::Text, Need::Required},
    Field{"bench.cases[].kind", Type::Text, Need::Required},
    Field{"bench.cases[].hardware", Type::Text, Need::Nullable},
    Field{"bench.cases[].prompt", Type::Count, Need::Required},
    Field{"bench.cases[].generate", Type::Count, Need::Required},
    Field{"bench.cases[].depth", Type::Count, Need::Nullable},
    Field{"bench.cases[].batch", Type::Count, Need::Nullable},
    Field{"bench.cases[].samples_tokens_per_s", Type::Array, Need::Nullable},
    Field{"bench.cases[].samples_tokens_per_s[]", Type::Number, Need::Required},
    Field{"bench.cases[].median", Type::Number, Need::Nullable},
    Field{"bench.cases[].mad", Type::Number, Need::Nullable},
    Field{"eval", Type::Object, Need::Nullable},
    Field{"eval.tasks", Type::Array, Need::Required},
    Field{"eval.tasks[]", Type::Object, Need::Required},
    Field{"eval.tasks[].name", Type::Text, Need::Required},
    Field{"eval.tasks[].metric", Type::Text, Need::Required},
    Field{"eval.tasks[].value", Type::Number, Need::Nullable},
    Field{"eval.tasks[].stderr", Type::Number, Need::Nullable},
    Field{"eval.tasks[].ci95", Type::Array, Need::Nullable},
    Field{"eval.tasks[].ci95[]", Type::Number, Need::Required},
    Field{"eval.tasks[].n", Type::Count, Need::Nullable},
    Field{"eval.tasks[].per_item", Type::Array, Need::Nullable},
    Field{"eval.tasks[].details", Type::Object, Need::Nullable},
    Field{"eval.tasks[].not_run", Type::Text, Need::Nullable},
    Field{"eval.comparison", Type::Array, Need::Nullable},
    Field{"eval.comparison[]", Type::Object, Need::Required},
    Field{"eval.comparison[].reference", Type::Text, Need::Required},
    Field{"eval.comparison[].task", Type::Text, Need::Required},
    Field{"eval.comparison[].difference", Type::Number, Need::Nullable},
    Field{"eval.comparison[].p", Type::Number, Need::Nullable},
    Field{"eval.errors", Type::Object, Need::Nullable},
    Field{"energy", Type::Object, Need::Nullable},
    Field{"energy.source", Type::Text, Need::Required},
    Field{"energy.joules", Type::Number, Need::Nullable},
};

constexpr const char* name_of(Type type) {
  constexpr const char* names[] = {"a string", "a number", "a whole number >= 0", "true or false", "an array", "an object"};
  return names[size_t(type)];
}

bool has_type(const Json& value, Type type) {
  switch (type) {
    case Type::Text: return value.is_string();
    case Type::Number: return value.is_number();
    case Type::Count: return value.is_number_unsigned() || (value.is_number_integer() && value.get<int64_t>() >= 0);
    case Type::Bool: return value.is_boolean();
    case Type::Array: return value.is_array();
    case Type::Object: return value.is_object();
  }
  return false;
}

struct Walk {
  const Field& field;
  std::string_view subject;

  void leaf(const Json* value, const std::string& shown) const {
    const bool absent = !value || value->is_null();
    if (absent && field.need == Need::Nullable) return;
    if (!value) {
      if (field.need == Need::Optional) return;
      throw input_error("record", subject, "field \"{}\" is missing; is this a result record written by teeny?", shown);
    }
    if (!has_type(*value, field.type)) {
      std::string text = value->dump(-1, ' ', false, Json::error_handler_t::replace);
      if (text.size() > 60) text = text.substr(0, 57) + "...";
      throw input_error("record", subject, "field \"{}\" is {}, expected {}; was the file edited or written by another program?", shown, text,
                        name_of(field.type));
    }
  }

  void step(const Json& at, std::string_view rest, const std::string& shown) const {
    if (rest.starts_with("[]")) {
      rest.remove_prefix(2);
      for (size_t i = 0; i < at.size(); ++i) {
        const std::string here = shown + "[" + std::to_string(i) + "]";
        rest.empty() ? leaf(&at[i], here) : step(at[i], rest, here);
      }
      return;
    }
    if (rest.starts_with('.')) rest.remove_prefix(1);
    const auto end = rest.find_first_of(".[");
    const std::string name(rest.substr(0, end));
    const std::string here = shown.empty() ? name : shown + "." + name;
    const auto found = at.find(name);
    const Json* value = found == at.end() ? nullptr : &*found;
    if (end == std::string_view::npos) return leaf(value, here);
    if (value && !value->is_null()) step(*value, rest.substr(end), here);
  }
};
}  // namespace

void check_record(const Json& record, std::string_view subject) {
  if (!record.is_object()) throw input_error("record", subject, "is JSON, but not an object; a result record is one JSON object");
  const auto schema = record.find("schema");
  if (schema == record.end() || !schema->is_string())
    throw input_error("record", subject, "field \"schema\" is missing; this is not a result record of teeny (they have \"schema\": \"{}\")", kResultSchema);
  if (*schema != kResultSchema)
    throw input_error("record", subject, "field \"schema\" is \"{}\", this teeny reads \"{}\"; use the teeny that wrote it", schema->get<std::string>(),
                      kResultSchema);
  for (const auto& field : kFields) Walk{field, subject}.step(record, field.path, "");
  for (const auto& task : record.contains("eval") && record["eval"].is_object() ? record["eval"]["tasks"] : Json::array())
    if (const auto ci = task.find("ci95"); ci != task.end() && ci->is_array() && ci->size() != 2)
      throw input_error("record", subject, "field \"ci95\" of task \"{}\" has {} numbers, expected 2", task["name"].get<std::string>(), ci->size());
}

}  // namespace teeny
