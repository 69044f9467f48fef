// Models and data sets of the Hugging Face hub, downloaded into the cache that huggingface_hub uses too. A file has its
// name in the cache only when it is complete and its content id (sha256, or git's blob id) is the one announced.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "teeny/core/context.h"

namespace teeny {

struct HubId {
  std::string repo;               // "org/name"
  std::string revision = "main";  // branch, tag or commit
  std::string file;               // a path in the repository, or for a model the name of a GGUF type; may be empty
  bool dataset = false;
};

// "org/name[@revision][:file]" and, for a data set, "org/name[@revision]:path". Empty when the text has not that form.
std::optional<HubId> parse_model_id(std::string_view text);
std::optional<HubId> parse_dataset_id(std::string_view text);

struct HubSettings {
  std::string endpoint = "https://huggingface.co";
  std::string cache;            // holds models--org--name/, datasets--org--name/, .locks/
  std::string token;            // empty: anonymous
  std::string certificates;     // PEM file of trusted authorities; empty: the system's
  bool offline = false;         // nothing but the cache
  int attempts = 5;             // of one request that makes no progress
  int connections = 8;          // at once
  double silence = 30;          // seconds without (almost) any byte before a connection is given up
};
// HF_ENDPOINT, HF_HOME, HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_TOKEN, HF_TOKEN_PATH, HF_HUB_OFFLINE,
// HF_HUB_DOWNLOAD_TIMEOUT, TEENY_HUB_ATTEMPTS, TEENY_HUB_CONNECTIONS, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, SSL_CERT_FILE.
HubSettings hub_settings();

// The snapshot's directory, or for GGUF the path of the (first) file. Device errors: network, disk. Input errors: what
// does not exist, is gated, is unsafe, or is not what was announced.
// config_only: of a safetensors model everything but the weights, enough for a plan.
std::string fetch_model(const HubId& id, const HubSettings& settings, Context& context, bool config_only = false);
std::string fetch_dataset_file(const HubId& id, const HubSettings& settings, Context& context);
// A snapshot in the cache whose weights are not (all) there.
bool lacks_weights(const std::string& snapshot);

}  // namespace teeny
