#include "hub/repo.h"

#include <algorithm>
#include <charconv>
#include <unordered_set>

#include "hub/names.h"
#include "hub/retry.h"
#include "hub/run_all.h"
#include "teeny/core/error.h"

namespace teeny::hub {
namespace {

constexpr uint64_t kMaxFileBytes = uint64_t(1) << 43;

std::string shown(std::string_view text) { return Json(std::string(text.substr(0, 120))).dump(-1, ' ', true, Json::error_handler_t::replace); }

std::optional<uint64_t> size_of(const Json& entry, const std::string& path, const HubId& id) {
  if (!entry.contains("size") || entry["size"].is_null()) return std::nullopt;
  const Json& size = entry["size"];
  if (!size.is_number_unsigned() || size.get<uint64_t>() > kMaxFileBytes) throw input_error("hub", id.repo, "the listing gives {} no usable size ({})", shown(path), shown(size.dump()));
  return size.get<uint64_t>();
}

std::string text_of(const Json& entry, const char* key) { return entry.contains(key) && entry[key].is_string() ? entry[key].get<std::string>() : ""; }

RepoFile parse_file(const Json& entry, const HubId& id) {
  RepoFile file;
  if (!entry.is_object()) throw input_error("hub", id.repo, "the listing has an entry that is no object");
  file.path = text_of(entry, "rfilename");
  if (!is_contained(file.path)) throw input_error("hub", id.repo, "the listing names the file {}, which is not a name that stays in its folder; nothing was downloaded", shown(file.path));
  file.bytes = size_of(entry, file.path, id);
  file.content = text_of(entry, "blobId");
  const bool lfs = entry.contains("lfs") && entry["lfs"].is_object();
  if (lfs) {
    file.content = text_of(entry["lfs"], "sha256");
    if (const auto bytes = size_of(entry["lfs"], file.path, id)) {
      if (file.bytes && *file.bytes != *bytes) throw input_error("hub", id.repo, "the listing gives {} two sizes, {} and {}", shown(file.path), *file.bytes, *bytes);
      file.bytes = bytes;
    }
  }
  if (!file.content.empty() && !(lfs ? is_sha256(file.content) : is_commit(file.content)))
    throw input_error("hub", id.repo, "the listing gives {} the content id {}, which is none", shown(file.path), shown(file.content));
  return file;
}

std::optional<uint64_t> parse_size(const std::string* text) {
  uint64_t value = 0;
  if (!text) return std::nullopt;
  const auto [end, code] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (code != std::errc() || end != text->data() + text->size() || value > kMaxFileBytes) return std::nullopt;
  return value;
}

// '"abc"' and 'W/"abc"' -> 'abc', as huggingface_hub names its blobs.
std::string content_of(const std::string* etag) {
  if (!etag) return "";
  std::string_view text = *etag;
  if (text.rfind("W/", 0) == 0) text.remove_prefix(2);
  while (!text.empty() && text.front() == '"') text.remove_prefix(1);
  while (!text.empty() && text.back() == '"') text.remove_suffix(1);
  return std::string(text);
}

void take_head(RepoFile& file, const Answer& answer, const std::string& commit, const HubId& id) {
  const std::string* at = answer.find_at_home("x-repo-commit");
  if (!at) throw input_error("hub", id.repo, "{} does not say its commit (X-Repo-Commit); is HF_ENDPOINT a Hugging Face hub, or a proxy in between?", answer.url);
  if (*at != commit) throw input_error("hub", id.repo, "{} answers for commit {}, asked for was {}; try again", shown(file.path), shown(*at), commit);
  const std::string* linked = answer.find_at_home("x-linked-etag");
  const bool direct = answer.status == 200 && origin_of(answer.url) == answer.home;
  const std::string content = content_of(linked ? linked : direct ? answer.find("etag") : nullptr);
  const std::string* length = answer.find_at_home("x-linked-size");
  const auto bytes = parse_size(length ? length : direct && !linked ? answer.find("content-length") : nullptr);
  if (file.content.empty()) {
    if (!is_sha256(content) && !is_commit(content))
      throw input_error("hub", id.repo, "{} has no content id to check it by (ETag {}); is HF_ENDPOINT a Hugging Face hub?", shown(file.path), shown(content));
    file.content = content;
  } else if (!content.empty() && content != file.content) {
    throw input_error("hub", id.repo, "{} is announced as {} in the listing and as {} when asked for; try again", shown(file.path), file.content, shown(content));
  }
  if (!file.bytes) file.bytes = bytes;
  if (!file.bytes) throw input_error("hub", id.repo, "the server does not say how long {} is", shown(file.path));
  if (bytes && *bytes != *file.bytes)
    throw input_error("hub", id.repo, "{} is announced with {} bytes in the listing and with {} when asked for; try again", shown(file.path), *file.bytes, *bytes);
}

}  // namespace

const RepoFile* Listing::find(const std::string& path) const {
  const auto at = std::find_if(files.begin(), files.end(), [&](const RepoFile& file) { return file.path == path; });
  return at == files.end() ? nullptr : &*at;
}

std::vector<std::string> Listing::paths() const {
  std::vector<std::string> out;
  for (const auto& file : files) out.push_back(file.path);
  return out;
}

std::string repo_address(const HubId& id, const HubSettings& settings, const std::string& below) {
  return settings.endpoint + (id.dataset ? "/datasets/" : "/") + id.repo + "/" + below;
}

Listing parse_listing(const Json& json, const HubId& id) {
  Listing listing;
  if (!json.is_object() || !json.contains("siblings") || !json["siblings"].is_array()) throw input_error("hub", id.repo, "the hub's answer has no list of files (siblings)");
  listing.commit = text_of(json, "sha");
  if (!is_commit(listing.commit)) throw input_error("hub", id.repo, "the hub's answer has no commit (sha {})", shown(listing.commit));
  if (is_commit(id.revision) && listing.commit != id.revision) throw input_error("hub", id.repo, "the hub answers for commit {}, asked for was {}", listing.commit, id.revision);
  std::unordered_set<std::string> seen;
  for (const auto& entry : json["siblings"]) {
    listing.files.push_back(parse_file(entry, id));
    if (!seen.insert(listing.files.back().path).second) throw input_error("hub", id.repo, "the listing names {} twice", shown(listing.files.back().path));
  }
  return listing;
}

Listing fetch_listing(const HubId& id, const HubSettings& settings, const Context& context) {
  HttpClient client(settings, context);
  Request request;
  request.url = fmt::format("{}/api/{}/{}/revision/{}?blobs=true", settings.endpoint, id.dataset ? "datasets" : "models", id.repo, url_part(id.revision));
  Answer answer;
  with_retries(id.repo, settings, context, nullptr, [&] {
    answer = client.send(request);
    require_success(answer, id.repo, settings);
  });
  const size_t first = answer.body.find_first_not_of(" \t\r\n");
  if (first != answer.body.npos && answer.body[first] == '<')
    throw input_error("hub", id.repo, "{} answers with a web page instead of JSON; is a login page or a proxy in between?", answer.url);
  return parse_listing(parse_json(answer.body, "hub", request.url), id);
}

std::vector<RepoFile> resolve_files(std::vector<RepoFile> files, const std::string& commit, const HubId& id, const HubSettings& settings, const Context& context) {
  run_all(files.size(), settings.connections, [&](size_t i, const std::atomic<bool>& stop) {
    HttpClient client(settings, context, &stop);
    Request request;
    request.url = repo_address(id, settings, "resolve/" + commit + "/" + url_path(files[i].path));
    request.head = true;
    request.follows_to_content = false;
    with_retries(id.repo + "/" + files[i].path, settings, context, &stop, [&] {
      const Answer answer = client.send(request);
      if (answer.status < 300 || answer.status >= 400) require_success(answer, id.repo, settings);
      take_head(files[i], answer, commit, id);
    });
  });
  return files;
}

}  // namespace teeny::hub
