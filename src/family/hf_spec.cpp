// config.json (and generation_config.json beside it) -> ModelSpec. auto_map, which names code to run, is ignored.
#include <algorithm>
#include <filesystem>

#include "family/family.h"
#include "family/fields.h"
#include "teeny/core/error.h"

namespace teeny {
namespace {
constexpr const char* kWhere = "config";

std::string known_list() {
  std::string text;
  for (const auto* family : all_families()) text += fmt::format("{}{} ({})", text.empty() ? "" : ", ", family->name, family->hf_class);
  return text;
}

const Family& find_family(const Json& config, const Fields& fields) {
  const auto type = fields.string("model_type");
  std::vector<std::string> classes;
  if (const auto* list = fields.find("architectures"); list && list->is_array())
    for (const auto& item : *list)
      if (item.is_string()) classes.push_back(item.get<std::string>());
  for (const auto* family : all_families()) {
    const bool class_known = std::find(classes.begin(), classes.end(), family->hf_class) != classes.end();
    if (type ? *type != family->name : !class_known) continue;
    if (!classes.empty() && !class_known)
      throw input_error(kWhere, fields.subject(), "architectures is {}, expected \"{}\" for model_type \"{}\"; only causal language models are supported",
                        printable(config["architectures"].dump(-1, ' ', true, Json::error_handler_t::replace)), family->hf_class, family->name);
    return *family;
  }
  const auto seen = type ? "model_type \"" + printable(*type) + "\"" : classes.empty() ? "no model_type" : "architecture \"" + printable(classes[0]) + "\"";
  throw input_error(kWhere, fields.subject(), "{} is not supported; known: {}", seen, known_list());
}

std::vector<int64_t> token_ids(const Fields& fields, const char* key) {
  const auto* value = fields.find(key);
  if (value && value->is_array()) {
    std::vector<int64_t> ids;
    for (const auto& item : *value) {
      const auto id = natural(item);
      if (!id || *id >= kMaxVocab)
        throw input_error(kWhere, fields.subject(), "\"{}\" holds {}, expected token ids", key, printable(item.dump(-1, ' ', true, Json::error_handler_t::replace), 60));
      ids.push_back(*id);
    }
    return ids;
  }
  const auto id = fields.integer(key);
  // -1 stands for "none" in some configs.
  return id && *id != -1 ? std::vector<int64_t>{*id} : std::vector<int64_t>{};
}

void merge_ids(std::vector<int64_t>& into, const std::vector<int64_t>& ids) {
  for (const int64_t id : ids)
    if (std::find(into.begin(), into.end(), id) == into.end()) into.push_back(id);
}

void read_tokens(ModelSpec& spec, const Fields& config, const TensorSource& source) {
  const auto single = [&](const Fields& fields, const char* key, int64_t& id) {
    const auto ids = token_ids(fields, key);
    if (id < 0 && !ids.empty() && ids[0] >= 0 && ids[0] < spec.vocab) id = ids[0];
  };
  const auto read = [&](const Fields& fields) {
    merge_ids(spec.eos, token_ids(fields, "eos_token_id"));
    single(fields, "bos_token_id", spec.bos);
    single(fields, "pad_token_id", spec.pad);
  };
  read(config);
  const auto path = path_join(companion_directory(source), "generation_config.json");
  if (!path_exists(path)) return;
  const Json generation = read_json_file(path, kWhere, 16 << 20);
  if (!generation.is_object()) throw input_error(kWhere, path, "is not a JSON object");
  read(Fields(generation, kWhere, path));
}

// rope_theta at top level (transformers 4) or inside rope_parameters (5); scaling in rope_scaling (4) or rope_parameters (5).
void read_rope(ModelSpec& spec, const Fields& config) {
  spec.rope_theta = config.number("rope_theta").value_or(10000);
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (!config.has_value(key)) continue;
    const auto& object = *config.find(key);
    if (!object.is_object()) throw input_error(kWhere, config.subject(), "\"{}\" is no object", key);
    const Fields rope(object, kWhere, config.subject() + ":" + key);
    if (const auto theta = rope.number("rope_theta")) spec.rope_theta = *theta;
    if (rope.number("partial_rotary_factor").value_or(1) != 1) throw input_error(kWhere, rope.subject(), "partial_rotary_factor is not supported");
    auto type = rope.string("rope_type");
    if (!type) type = rope.string("type");
    if (!type || *type == "default") continue;
    if (*type != "linear" && *type != "llama3")
      throw input_error(kWhere, rope.subject(), "the rope scaling \"{}\" is not supported; known: default, linear, llama3", printable(*type));
    spec.rope.type = *type;
    const auto required = [&](const char* name) {
      if (const auto value = rope.number(name)) return *value;
      throw input_error(kWhere, rope.subject(), "\"{}\" is absent, {} scaling needs it", name, *type);
    };
    spec.rope.factor = required("factor");
    if (*type != "llama3") continue;
    spec.rope.low_freq_factor = required("low_freq_factor");
    spec.rope.high_freq_factor = required("high_freq_factor");
    spec.rope.original_context = rope.size("original_max_position_embeddings", kMaxContext);
  }
  if (config.number("partial_rotary_factor").value_or(1) != 1) throw input_error(kWhere, config.subject(), "partial_rotary_factor is not supported");
}

void read_window(ModelSpec& spec, const Family& family, const Fields& config) {
  if (family.window == Window::CapsContext && config.has_value("sliding_window"))
    spec.context = std::min(spec.context, config.size("sliding_window", INT64_MAX));
  if (family.window != Window::Flag) return;
  bool sliding = config.boolean("use_sliding_window").value_or(false);
  if (const auto* types = config.find("layer_types"); types && types->is_array())
    sliding = sliding || std::any_of(types->begin(), types->end(), [](const Json& t) { return t != "full_attention"; });
  if (sliding)
    throw input_error(kWhere, config.subject(), "use_sliding_window is on (or a layer type is not full_attention), which is not supported; "
                      "set it to false if the text stays within the window");
}

void read_switches(ModelSpec& spec, const Family& family, const Fields& config) {
  spec.tied = config.boolean("tie_word_embeddings").value_or(false);
  const bool attention = family.bias == Bias::AttentionKey && config.boolean("attention_bias").value_or(false);
  spec.qkv_bias = family.bias == Bias::Qkv || attention;
  spec.o_bias = attention;
  spec.mlp_bias = family.mlp_bias_key && config.boolean("mlp_bias").value_or(false);
  spec.qk_norm = family.qk_norm;
  const auto activation = config.string("hidden_act").value_or("silu");
  if (activation != "silu" && activation != "swish")
    throw input_error(kWhere, config.subject(), "hidden_act \"{}\" is not supported; known: silu", printable(activation));
}

std::string read_dtype(const TensorSource& source, const Fields& config) {
  auto dtype = config.string("torch_dtype");
  if (!dtype) dtype = config.string("dtype");
  if (dtype && dtype->starts_with("torch.")) dtype = dtype->substr(6);
  if (!dtype || *dtype == "auto") {
    const auto* embedding = source.find(kEmbedding);
    return embedding && embedding->dtype == DType::F32 ? "float32" : embedding && embedding->dtype == DType::F16 ? "float16" : "bfloat16";
  }
  if (*dtype != "bfloat16" && *dtype != "float16" && *dtype != "float32")
    throw input_error(kWhere, config.subject(), "dtype \"{}\" is not supported; known: bfloat16, float16, float32", printable(*dtype));
  return *dtype;
}
}  // namespace

ModelSpec read_hf_spec(const TensorSource& source) {
  if (source.config().is_null())
    throw input_error(kWhere, source.path(), "has no config.json beside it; pass the model's directory, or a GGUF file");
  const Fields config(source.config(), kWhere, path_join(companion_directory(source), "config.json"));
  const Family& family = find_family(source.config(), config);
  ModelSpec spec;
  spec.family = family.name;
  spec.gguf_arch = family.gguf_arch;
  spec.hf_class = family.hf_class;
  spec.permuted_qk = family.permuted_qk;
  std::error_code error;
  const auto place = std::filesystem::weakly_canonical(companion_directory(source), error);
  spec.name = error ? source.path() : model_folder_name(place.string());
  spec.hidden = config.size("hidden_size", kMaxHidden);
  spec.layers = config.size("num_hidden_layers", kMaxLayers);
  spec.heads = config.size("num_attention_heads", kMaxHeads);
  spec.kv_heads = family.kv_heads_required ? config.size("num_key_value_heads", kMaxHeads)
                                           : config.size_if("num_key_value_heads", kMaxHeads).value_or(spec.heads);
  spec.intermediate = config.size("intermediate_size", kMaxIntermediate);
  spec.vocab = config.size("vocab_size", kMaxVocab);
  spec.context = config.size("max_position_embeddings", kMaxContext);
  if (config.has_value("head_dim")) spec.head_dim = config.size("head_dim", kMaxHeadDim);
  else if (family.default_head_dim) spec.head_dim = family.default_head_dim;
  else if (spec.hidden % spec.heads == 0) spec.head_dim = spec.hidden / spec.heads;
  else throw input_error(kWhere, config.subject(), "hidden_size {} is no multiple of {} attention heads, and head_dim is absent", spec.hidden, spec.heads);
  spec.rms_eps = config.number("rms_norm_eps").value_or(1e-6);
  read_rope(spec, config);
  read_window(spec, family, config);
  read_switches(spec, family, config);
  read_tokens(spec, config, source);
  spec.dtype = read_dtype(source, config);
  check_spec(spec, kWhere, config.subject());
  if (spec.rope.type == "llama3") spec.rope_freq_factors = llama3_factors(spec.rope, spec.rope_theta, spec.head_dim);
  return spec;
}

}  // namespace teeny
