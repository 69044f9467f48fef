// JSON from files is data, not trust: depth and size are capped, duplicate keys are refused.
#pragma once
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace teeny {

using Json = nlohmann::ordered_json;

// Throws Input naming `subject` and the byte offset for malformed text, duplicate keys, or nesting deeper than 64.
Json parse_json(std::string_view text, std::string_view where, std::string_view subject);
Json read_json_file(const std::string& path, std::string_view where, uint64_t max_bytes = 256ull << 20);
// Every string valid UTF-8 (bad bytes replaced), 2 spaces, newline at the end.
std::string dump_json(const Json& json, int indent = 1);

}  // namespace teeny
