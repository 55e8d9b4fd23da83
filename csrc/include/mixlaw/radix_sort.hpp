// Sorting unsigned integers digit by digit.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace mixlaw {

// Sorts by the low `bits` bits, above which all are alike, lowest digit first; `spare` is working room, and holds at
// least as many.
template <class Key>
void radix_sort(std::vector<Key>& keys, std::vector<Key>& spare, unsigned bits) {
  constexpr unsigned most_digit_bits = 11;
  if (keys.empty() || bits == 0) return;
  const unsigned passes = (bits + most_digit_bits - 1) / most_digit_bits;
  const unsigned digit_bits = (bits + passes - 1) / passes;
  const std::size_t digits = std::size_t{1} << digit_bits;
  for (unsigned pass = 0; pass < passes; ++pass) {
    const unsigned shift = pass * digit_bits;
    std::array<std::uint32_t, std::size_t{1} << most_digit_bits> place;
    std::fill_n(place.begin(), digits, 0u);
    const auto digit = [=](Key key) { return static_cast<std::size_t>((key >> shift) & (digits - 1)); };
    for (const Key key : keys) ++place[digit(key)];
    if (place[digit(keys[0])] == keys.size()) continue;
    std::uint32_t sum = 0;
    for (std::size_t d = 0; d < digits; ++d) place[d] = std::exchange(sum, sum + place[d]);
    Key* const to = spare.data();
    for (const Key key : keys) to[place[digit(key)]++] = key;
    spare.resize(keys.size());
    keys.swap(spare);
  }
}

}  // namespace mixlaw
