#include "mixlaw/document_groups.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

namespace mixlaw {

unsigned group_of(const TokenArray& tokens, const Piece& piece, const NgramKeys& keys) {
  constexpr std::size_t sample = 16;
  std::array<std::uint32_t, sample> copy;
  const std::size_t size = piece.end - piece.begin;
  std::uint64_t hash = size;
  const auto mix = [&hash](std::uint64_t word) {
    // The finaliser of SplitMix64.
    hash = (hash ^ word) + 0x9E3779B97F4A7C15u;
    hash = (hash ^ hash >> 30) * 0xBF58476D1CE4E5B9u;
    hash = (hash ^ hash >> 27) * 0x94D049BB133111EBu;
    hash ^= hash >> 31;
  };
  const std::size_t count = std::min(sample, size);
  for (const std::size_t from : {piece.begin, piece.begin + (size - count) / 2, piece.end - count}) {
    load_tokens(tokens, from, count, keys.vocab_size, copy.data());
    for (std::size_t i = 0; i < count; ++i) mix(copy[i]);
  }
  return static_cast<unsigned>(hash % keys.groups);
}

}  // namespace mixlaw
