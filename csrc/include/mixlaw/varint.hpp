// Variable-length integers: seven bits a byte, lowest first, the eighth bit set on all bytes but the last.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace mixlaw {

// The most bytes that an integer of this type takes.
template <class Value>
inline constexpr std::size_t max_varint_size = (8 * sizeof(Value) + 6) / 7;

// Writes `value` at `out` and returns the byte behind it. May scribble on one byte behind that. Inlined always, for
// kernels are compiled for several machines.
template <class Value>
__attribute__((always_inline)) inline std::uint8_t* put_varint(std::uint8_t* out, Value value) {
  if (value < (1u << 14)) {
    // One byte or two, without a branch that the processor would have to guess.
    const auto longer = static_cast<unsigned>(value >= 128);
    out[0] = static_cast<std::uint8_t>((value & 127) | (longer << 7));
    out[1] = static_cast<std::uint8_t>(value >> 7);
    return out + 1 + longer;
  }
  while (value >= 128) {
    *out++ = static_cast<std::uint8_t>(value | 128);
    value >>= 7;
  }
  *out++ = static_cast<std::uint8_t>(value);
  return out;
}

// Reads what put_varint wrote at `in` and moves `in` behind it. Trusts the bytes.
template <class Value>
Value get_varint(const std::uint8_t*& in) {
  std::uint8_t byte = *in++;
  if (byte < 128) return byte;
  // Nine bytes fill 63 bits; few integers have more.
  std::uint64_t low = byte & 127;
  unsigned shift = 7;
  do {
    byte = *in++;
    low |= static_cast<std::uint64_t>(byte & 127) << shift;
    shift += 7;
  } while (byte >= 128 && shift < 63);
  Value value = low;
  while (byte >= 128) {
    byte = *in++;
    value |= static_cast<Value>(byte & 127) << shift;
    shift += 7;
  }
  return value;
}

// Two integers, of less than 15 and of less than 8 bits, as put_varint wrote them side by side: most entries of a run
// are such. Moves `in` behind them; false, and `in` stays, if they are larger, or if less than four bytes are left.
// Takes no branch on how long the first one is, which the processor could not guess.
inline bool get_short_entry(const std::uint8_t*& in, const std::uint8_t* end, std::uint32_t& first,
                            std::uint32_t& second) {
  std::uint32_t word;
  if (end - in < static_cast<std::ptrdiff_t>(sizeof word)) return false;
  std::memcpy(&word, in, sizeof word);
  const std::uint32_t longer = (word >> 7) & 1;
  const std::uint32_t behind = word >> (8 * longer);
  if (((word & (longer << 15)) | (behind & 0x8000)) != 0) return false;
  first = (word & 127) | ((word >> 1) & (0 - longer) & 0x3F80);
  second = (behind >> 8) & 127;
  in += 2 + longer;
  return true;
}

// The same as get_varint, from bytes that nobody vouches for: false if they end too soon or hold no integer of this
// type.
template <class Value>
bool get_checked_varint(const std::uint8_t*& in, const std::uint8_t* end, Value& value) {
  value = 0;
  for (unsigned shift = 0; in != end && shift < 8 * sizeof(Value); shift += 7) {
    const std::uint8_t byte = *in++;
    const auto bits = static_cast<Value>(byte & 127);
    if (bits << shift >> shift != bits) return false;
    value |= bits << shift;
    if (byte < 128) return true;
  }
  return false;
}

}  // namespace mixlaw
