// Inner loops that gain from vector instructions beyond the baseline of the platform: compiled for several levels of
// them, of which the best that the machine has is taken when the program runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mixlaw {

// Sums that weighted_sums makes together.
inline constexpr std::size_t sum_lanes = 32;

// All levels give the same bytes.
struct Kernels {
  const char* level;

  // Writes the entries of keys lows[1], ..., lows[n], which ascend: for each, how far it is above the one before, and
  // its count (there are n), as put_varint does. Returns the byte behind them; there must be room for n entries of the
  // longest kind, and for at least 64 bytes.
  std::uint8_t* (*put_entries)(std::uint8_t* out, const std::uint32_t* lows, const std::uint32_t* counts,
                               std::size_t n);

  // sums[r] = sum of weights[groups[i] * stride + r] * counts[i] over i < n, for every r < stride, modulo 2^16. The
  // stride is a multiple of sum_lanes; weights and sums are aligned to 64 bytes.
  void (*weighted_sums)(const std::uint16_t* weights, std::size_t stride, const std::uint32_t* groups,
                        const std::uint16_t* counts, std::size_t n, std::uint16_t* sums);
};

// The levels that this machine has, the best last: "baseline", and on x86-64 "avx2" and "avx512" (F, BW, VL, VBMI2).
std::vector<const Kernels*> kernels_here();

// The best of these; or that which the environment variable MIXLAW_SIMD names, looked at once. Throws
// std::invalid_argument if the machine has no such level.
const Kernels& kernels();

}  // namespace mixlaw
