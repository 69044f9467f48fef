#include <filesystem>

#include "cli/command.h"
#include "cli/describe.h"
#include "cli/render.h"
#include "cli/resolve.h"
#include "cli/text.h"
#include "teeny/core/error.h"
#include "teeny/core/file.h"
#include "teeny/family/describe.h"
#include "teeny/family/tokenizer_source.h"
#include "teeny/plan/runtimes.h"
#include "teeny/record/record.h"

namespace teeny::cli {
namespace {

Json describe_spec(const ModelSpec& spec) {
  return {{"class", spec.hf_class}, {"gguf_arch", spec.gguf_arch}, {"layers", spec.layers}, {"hidden", spec.hidden}, {"intermediate", spec.intermediate},
          {"heads", spec.heads}, {"kv_heads", spec.kv_heads}, {"head_dim", spec.head_dim}, {"vocab", spec.vocab}, {"context", spec.context},
          {"rope_theta", spec.rope_theta}, {"rope_scaling", spec.rope.type}, {"tied_head", spec.tied}, {"dtype", spec.dtype}};
}

class Inspect : public Command {
 public:
  void setup(Options& o) override {
    o.group("What");
    add_model_option(o, options_);
    o.flag({"--tensors"}, list_tensors_, "list every tensor");
    o.flag({"--verify"}, verify_, "read and check every tensor (loads the engine)");
    o.flag({"--hash"}, options_.hash, "put the sha256 of the model's files into the record");
  }

  int run(Options&, Session& session) override {
    options_.args = session.args();
    options_.model = resolve_model(options_.model, session.context());
    session.check_destinations();
    RunRecord record("inspect", session.args(), session.common().seed);
    Context& context = session.context();
    const auto source = open_source(options_.model);
    const QuantConfig quant = read_quant_config(*source);
    std::optional<ModelSpec> spec;
    const bool lone_file = source->kind() == ContainerKind::Safetensors && source->config().is_null();
    if (lone_file)
      context.warn("no-config", fmt::format("{}: there is no config.json beside it, so its family is not known", source->path()));
    else
      spec = read_spec(*source);
    record.json()["model"] = spec ? describe_model(*source, *spec, quant, options_.hash) : describe_file(*source, options_.hash);
    Json& out = record.json()["inspect"] = describe_content(*source, quant, spec);
    out["metadata"] = describe_text(*source, context);
    warn_about(*source, quant, spec, context);
    if (verify_) out["verify"] = verify(session);
    const Json* problems = find(out, {"verify", "problems"});
    const bool sound = !problems || !problems->is_array() || problems->empty();
    if (!sound) context.warn("check-failed", fmt::format("{}: {} problems in its tensors, the first: {}", options_.model, problems->size(), first_problem(*problems)));
    record.finish(context, problem_ ? "failed" : sound ? "ok" : "check-failed");
    session.deliver(record.json(), [&](const Json& r) { return render_inspect(r, session.colour(), list_tensors_); });
    if (problem_) throw *problem_;
    return 0;
  }

 private:
  Json describe_content(const TensorSource& source, const QuantConfig& quant, const std::optional<ModelSpec>& spec) const {
    Json out = Json::object();
    for (const auto& file : source.files()) out["files"].push_back({{"path", file.path()}, {"bytes", file.size()}});
    out["tensors"] = Json::array();
    for (const auto& tensor : source.tensors())
      out["tensors"].push_back({{"name", tensor.name}, {"dtype", name_of(tensor.dtype)}, {"shape", tensor.shape}, {"bytes", tensor.bytes}});
    out["encodings"] = Json::object();
    for (const auto& [name, use] : count_encodings(source, quant))
      out["encodings"][name] = {{"tensors", use.tensors}, {"weights", use.weights}, {"bytes", use.bytes},
                                {"bits_per_weight", use.weights > 0 ? Json(8.0 * double(use.bytes) / double(use.weights)) : Json()}};
    out["loaders"] = Json::array();
    for (const auto& loader : judge_runtimes(facts_of(source, quant, spec)))
      out["loaders"].push_back({{"runtime", loader.runtime}, {"loads", loader.loads}, {"why", loader.why}});
    out["spec"] = spec ? describe_spec(*spec) : Json();
    return out;
  }

  // Tokenizer and chat template. What teeny refuses is told after everything else was shown, and is exit code 3.
  Json describe_text(const TensorSource& source, Context& context) {
    Json out = Json::object();
    const std::string folder = source.directory().empty() ? std::filesystem::path(source.path()).parent_path().string() : source.directory();
    const bool present = source.gguf() ? source.gguf()->find("tokenizer.ggml.model") != nullptr : path_exists(path_join(folder, "tokenizer.json"));
    if (!present) {
      if (!source.config().is_null() || source.gguf()) context.warn("no-tokenizer", "the model has no tokenizer; text cannot be evaluated or generated");
      return out;
    }
    try {
      const auto tokenizer = load_tokenizer(source);
      const auto& data = tokenizer->data();
      out["tokenizer"] = {{"kind", data.alphabet == Alphabet::Bytes ? "byte-level BPE" : "SentencePiece BPE"}, {"tokens", tokenizer->size()}, {"merges", data.merges.size()}, {"added", data.added.size()}, {"adds_bos", data.add_bos}};
    } catch (const Error& error) {
      note_problem(error, context, "tokenizer-refused");
    }
    try {
      const auto chat = load_chat_template(source);
      out["chat_template"] = chat ? Json(chat->name()) : Json();
    } catch (const Error& error) {
      note_problem(error, context, "chat-template-refused");
    }
    return out;
  }

  void note_problem(const Error& error, Context& context, const char* code) {
    if (error.kind() != ErrorKind::Input) throw error;
    context.warn(code, error.what());
    if (!problem_) problem_ = error;
  }

  void warn_about(const TensorSource& source, const QuantConfig& quant, const std::optional<ModelSpec>& spec, Context& context) const {
    if (quant.method == "gptq" && quant.symmetric && !verify_)
      context.warn("gptq-zero-points", fmt::format("labelled {}, and some writers mislabel their zero points; 'teeny inspect --verify' reads them",
                                                   quant.format.empty() ? "gptq" : quant.format));
    if (quant.method == "gptq" && !quant.symmetric && quant.format != "gptq_v2")
      context.warn("gptq-asymmetric-v1", "asymmetric GPTQ v1 cannot store zero point 0; where a writer did so, the neighbouring zero points are wrong");
    if (quant.desc_act) context.warn("desc-act", "columns are stored in another order (desc_act); vLLM with tensor parallelism keeps all scales on every rank");
    if (spec && quant.group > 0)
      for (const auto& slot : kLinears)
        if (const auto [N, K] = linear_shape(*spec, slot.module); K % quant.group != 0)
          context.warn("group-does-not-divide", fmt::format("{}: {} columns are no multiple of group {}", slot.module, K, quant.group));
    if (source.tensors().empty()) context.warn("no-tensors", "the file holds no tensors");
  }

  static std::string first_problem(const Json& problems) { return text_at(problems[0], {"tensor"}) + ": " + text_at(problems[0], {"problem"}); }

  Json verify(Session& session) const {
    Json result = session.engine().verify(options_, session.context());
    if (result.contains("inspect") && result["inspect"].contains("verify")) return result["inspect"]["verify"];
    return result.contains("verify") ? result["verify"] : result;
  }

  CommonOptions options_;
  bool list_tensors_ = false, verify_ = false;
  std::optional<Error> problem_;
};

}  // namespace

std::unique_ptr<Command> make_inspect() { return std::make_unique<Inspect>(); }

}  // namespace teeny::cli
