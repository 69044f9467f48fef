// What may become a path: names of repositories, revisions and files come from people and from servers.
#pragma once
#include <string>
#include <string_view>

namespace teeny::hub {

bool is_repo_name(std::string_view text);    // "org/name", by the hub's own rules
bool is_revision(std::string_view text);     // safe as a path below refs/ and in an address
bool is_commit(std::string_view text);       // 40 lower-case hexadecimal digits
bool is_sha256(std::string_view text);       // 64 of them
// A relative path that stays where it is put: no empty, "." or ".." part, no backslash, colon-drive, control character,
// NUL, invalid UTF-8; at most 255 bytes a part and 1,024 in all.
bool is_contained(std::string_view path);
std::string lower(std::string_view text);               // ASCII only
std::string url_path(std::string_view path);            // percent-encoded; slashes stay
std::string url_part(std::string_view part);            // slashes are encoded too

}  // namespace teeny::hub
