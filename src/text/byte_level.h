// The byte-level alphabet of GPT-2: one printable character for every byte.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace teeny {

uint32_t byte_level_char(uint8_t byte);
int byte_level_byte(uint32_t code_point);  // -1: not in the alphabet
// The bytes that `token` (valid UTF-8) stands for. False when a character is outside the alphabet: `out` is then the
// token's own bytes, as the ByteLevel decoder has it.
bool byte_level_decode(std::string_view token, std::string& out);

}  // namespace teeny
