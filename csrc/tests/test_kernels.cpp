#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "check.hpp"
#include "mixlaw/aligned.hpp"
#include "mixlaw/kernels.hpp"
#include "mixlaw/varint.hpp"

namespace {

using namespace mixlaw;

// Numbers of any length from 1 to `bits` bits, each length as likely.
std::uint32_t of_any_length(std::mt19937& random, unsigned bits) {
  const unsigned length = 1 + static_cast<unsigned>(random() % bits);
  return static_cast<std::uint32_t>(1 + random() % (std::uint64_t{1} << length));
}

void test_entries_are_those_of_put_varint() {
  constexpr std::size_t longest_entry = 2 * max_varint_size<std::uint32_t>;
  std::mt19937 random(1);
  for (const Kernels* kernels : kernels_here()) {
    for (std::size_t n = 0; n < 100; ++n) {
      // Short steps and counts, then such as have to be written one by one, among them and alone.
      for (const unsigned bits : {6u, 7u, 8u, 13u, 14u, 15u, 24u}) {
        std::vector<std::uint32_t> lows{of_any_length(random, bits)};
        std::vector<std::uint32_t> counts;
        std::vector<std::uint8_t> expected(longest_entry * n + 1);
        std::uint8_t* end = expected.data();
        for (std::size_t i = 0; i < n; ++i) {
          lows.push_back(lows.back() + of_any_length(random, bits));
          counts.push_back(i % 17 == 16 ? ~std::uint32_t{0} : of_any_length(random, bits));
          end = put_varint(put_varint(end, lows[i + 1] - lows[i]), counts[i]);
        }
        expected.resize(static_cast<std::size_t>(end - expected.data()));
        const std::size_t room = std::max<std::size_t>(longest_entry * n, 64);
        std::vector<std::uint8_t> found(room + 64, 0xA5);
        const std::uint8_t* const behind = kernels->put_entries(found.data(), lows.data(), counts.data(), n);
        CHECK(behind == found.data() + expected.size());
        CHECK(std::equal(expected.begin(), expected.end(), found.begin()));
        CHECK(std::all_of(found.begin() + static_cast<std::ptrdiff_t>(room), found.end(),
                          [](std::uint8_t byte) { return byte == 0xA5; }));
      }
    }
  }
}

void test_weighted_sums_are_those_of_a_plain_loop() {
  std::mt19937 random(2);
  for (const Kernels* kernels : kernels_here()) {
    for (const std::size_t stride : {sum_lanes, 2 * sum_lanes, 5 * sum_lanes}) {
      constexpr std::size_t groups = 40;
      AlignedArray<std::uint16_t> weights(groups * stride);
      for (std::size_t i = 0; i < groups * stride; ++i) weights.data()[i] = static_cast<std::uint16_t>(random());
      for (std::size_t n = 0; n < groups; ++n) {
        std::vector<std::uint32_t> chosen;
        std::vector<std::uint16_t> counts;
        for (std::size_t i = 0; i < n; ++i) {
          chosen.push_back(static_cast<std::uint32_t>(random() % groups));
          counts.push_back(static_cast<std::uint16_t>(random()));
        }
        AlignedArray<std::uint16_t> sums(stride);
        kernels->weighted_sums(weights.data(), stride, chosen.data(), counts.data(), n, sums.data());
        for (std::size_t r = 0; r < stride; ++r) {
          std::uint32_t sum = 0;
          for (std::size_t i = 0; i < n; ++i) sum += std::uint32_t{weights.data()[chosen[i] * stride + r]} * counts[i];
          CHECK(sums.data()[r] == static_cast<std::uint16_t>(sum));
        }
      }
    }
  }
}

// Must run before anything else has asked for kernels: the variable is looked at once.
void test_the_environment_chooses() {
  const std::vector<const Kernels*> here = kernels_here();
  CHECK(std::string(here.front()->level) == "baseline");
  setenv("MIXLAW_SIMD", "sse9", 1);
  CHECK_THROWS(std::invalid_argument, "MIXLAW_SIMD is \"sse9\", but this machine has baseline", kernels());
  setenv("MIXLAW_SIMD", "baseline", 1);
  CHECK(&kernels() == here.front());
  setenv("MIXLAW_SIMD", here.back()->level, 1);
  CHECK(&kernels() == here.front());
}

}  // namespace

int main() {
  test_the_environment_chooses();
  test_entries_are_those_of_put_varint();
  test_weighted_sums_are_those_of_a_plain_loop();
  return mixlaw::test::finish();
}
