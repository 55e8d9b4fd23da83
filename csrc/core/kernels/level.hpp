// The code of one level. A file that includes it is compiled with the instructions of that level and defines
// MIXLAW_LEVEL; everything here has to be inlined or local to the file, for the linker keeps one of several functions
// of the same name, and might take one that the machine cannot run.

#include <cstddef>
#include <cstdint>

#ifdef __AVX512VBMI2__
#include <immintrin.h>
#endif

#include "mixlaw/kernels.hpp"
#include "mixlaw/varint.hpp"

namespace mixlaw {
namespace {

#ifdef __AVX512VBMI2__

// Writes 16 entries whose steps and counts have 14 bits at most, in a vector of four bytes for each, of which those
// that are not needed are then squeezed out. Returns `out` if one has more.
std::uint8_t* put_16_short(std::uint8_t* out, const std::uint32_t* lows, const std::uint32_t* counts) {
  typedef std::uint32_t Words __attribute__((vector_size(64), aligned(4), may_alias));
  const auto load = [](const std::uint32_t* from) { return *reinterpret_cast<const Words*>(from); };
  const Words step = load(lows + 1) - load(lows);
  const Words count = load(counts);
  const auto words = [](Words value) { return reinterpret_cast<__m512i>(value); };
  if (_mm512_cmpge_epu32_mask(words(step | count), _mm512_set1_epi32(1 << 14)) != 0) return out;
  const Words both = step | count << 16;
  // Of every half, seven bits are the first byte, and seven the second.
  const Words second = both << 1 & 0x7F007F00;
  const __mmask32 longer = _mm512_test_epi16_mask(words(second), words(second));
  const __m512i bytes = _mm512_or_si512(words((both & 0x007F007F) | second), _mm512_maskz_set1_epi16(longer, 0x0080));
  const __mmask64 kept = _mm512_movepi8_mask(
      _mm512_or_si512(_mm512_set1_epi16(0x0080), _mm512_maskz_set1_epi16(longer, static_cast<short>(0x8000))));
  _mm512_storeu_si512(out, _mm512_maskz_compress_epi8(kept, bytes));
  return out + __builtin_popcountll(kept);
}

#endif

std::uint8_t* put_entries(std::uint8_t* out, const std::uint32_t* lows, const std::uint32_t* counts, std::size_t n) {
  std::size_t i = 0;
#ifdef __AVX512VBMI2__
  while (i + 16 <= n) {
    std::uint8_t* const behind = put_16_short(out, lows + i, counts + i);
    const std::size_t end = i + 16;
    if (behind == out) {
      for (std::size_t j = i; j < end; ++j) out = put_varint(put_varint(out, lows[j + 1] - lows[j]), counts[j]);
    } else {
      out = behind;
    }
    i = end;
  }
#endif
  for (; i < n; ++i) out = put_varint(put_varint(out, lows[i + 1] - lows[i]), counts[i]);
  return out;
}

#if defined(__AVX512BW__)
constexpr std::size_t vector_bytes = 64;
#elif defined(__AVX2__)
constexpr std::size_t vector_bytes = 32;
#else
constexpr std::size_t vector_bytes = 16;
#endif
typedef std::uint16_t Vector __attribute__((vector_size(vector_bytes), may_alias));

void weighted_sums(const std::uint16_t* weights, std::size_t stride, const std::uint32_t* groups,
                   const std::uint16_t* counts, std::size_t n, std::uint16_t* sums) {
  constexpr std::size_t vectors = sum_lanes * sizeof(std::uint16_t) / vector_bytes;
  for (std::size_t first = 0; first < stride; first += sum_lanes) {
    Vector sum[vectors] = {};
    for (std::size_t i = 0; i < n; ++i) {
      const auto* const weight = reinterpret_cast<const Vector*>(weights + groups[i] * stride + first);
      for (std::size_t v = 0; v < vectors; ++v) sum[v] += weight[v] * counts[i];
    }
    auto* const out = reinterpret_cast<Vector*>(sums + first);
    for (std::size_t v = 0; v < vectors; ++v) out[v] = sum[v];
  }
}

}  // namespace

#define MIXLAW_TEXT(word) #word
#define MIXLAW_TEXT_OF(macro) MIXLAW_TEXT(macro)
#define MIXLAW_JOINED(a, b) a##b
#define MIXLAW_KERNELS_OF(level) MIXLAW_JOINED(level, _kernels)

extern const Kernels MIXLAW_KERNELS_OF(MIXLAW_LEVEL);
const Kernels MIXLAW_KERNELS_OF(MIXLAW_LEVEL) = {MIXLAW_TEXT_OF(MIXLAW_LEVEL), put_entries, weighted_sums};

}  // namespace mixlaw
