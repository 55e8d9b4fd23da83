// UTF-8, as the tests write it.
#pragma once

#include <cstdint>
#include <string>

namespace mixlaw::test {

// A code point, or half a surrogate pair, which is no UTF-8.
inline std::string utf8(std::uint32_t code) {
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  const auto rest = [&](unsigned shift) { return static_cast<char>(0x80 | (code >> shift & 0x3F)); };
  if (code < 0x800) return {static_cast<char>(0xC0 | code >> 6), rest(0)};
  if (code < 0x10000) return {static_cast<char>(0xE0 | code >> 12), rest(6), rest(0)};
  return {static_cast<char>(0xF0 | code >> 18), rest(12), rest(6), rest(0)};
}

inline bool is_half_pair(std::uint32_t code) { return code >= 0xD800 && code < 0xE000; }

}  // namespace mixlaw::test
