#include "mixlaw/checksum.hpp"

#include "mixlaw/little_endian.hpp"

namespace mixlaw {
namespace {

constexpr std::uint64_t prime_1 = 0x9E3779B185EBCA87u;
constexpr std::uint64_t prime_2 = 0xC2B2AE3D27D4EB4Fu;
constexpr std::uint64_t prime_3 = 0x165667B19E3779F9u;
constexpr std::uint64_t prime_4 = 0x85EBCA77C2B2AE63u;
constexpr std::uint64_t prime_5 = 0x27D4EB2F165667C5u;

std::uint64_t rotate(std::uint64_t word, int bits) { return word << bits | word >> (64 - bits); }

std::uint64_t round(std::uint64_t lane, std::uint64_t word) { return rotate(lane + word * prime_2, 31) * prime_1; }

std::uint64_t fold(std::uint64_t hash, std::uint64_t lane) { return (hash ^ round(0, lane)) * prime_1 + prime_4; }

}  // namespace

std::uint64_t checksum(const std::uint8_t* bytes, std::size_t size) {
  const std::uint8_t* const end = bytes + size;
  std::uint64_t hash = prime_5;
  if (size >= 32) {
    std::uint64_t lanes[4] = {prime_1 + prime_2, prime_2, 0, 0 - prime_1};
    for (; end - bytes >= 32; bytes += 32) {
      for (int i = 0; i < 4; ++i) lanes[i] = round(lanes[i], load_u64(bytes + 8 * i));
    }
    hash = rotate(lanes[0], 1) + rotate(lanes[1], 7) + rotate(lanes[2], 12) + rotate(lanes[3], 18);
    for (const std::uint64_t lane : lanes) hash = fold(hash, lane);
  }
  hash += size;
  for (; end - bytes >= 8; bytes += 8) hash = rotate(hash ^ round(0, load_u64(bytes)), 27) * prime_1 + prime_4;
  if (end - bytes >= 4) {
    hash = rotate(hash ^ load_u32(bytes) * prime_1, 23) * prime_2 + prime_3;
    bytes += 4;
  }
  for (; bytes != end; ++bytes) hash = rotate(hash ^ *bytes * prime_5, 11) * prime_1;
  hash = (hash ^ hash >> 33) * prime_2;
  hash = (hash ^ hash >> 29) * prime_3;
  return hash ^ hash >> 32;
}

}  // namespace mixlaw
