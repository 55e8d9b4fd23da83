#include <cstdint>
#include <cstring>

#include "check.hpp"
#include "mixlaw/ngram_keys.hpp"
#include "mixlaw/varint.hpp"

namespace {

using namespace mixlaw;

void test_values_around_every_power_of_two_survive() {
  for (unsigned bit = 0; bit < 64; ++bit) {
    for (const std::uint64_t offset : {~std::uint64_t{0}, std::uint64_t{0}, std::uint64_t{1}}) {
      const std::uint64_t value = (std::uint64_t{1} << bit) + offset;
      std::uint8_t bytes[max_varint_size<std::uint64_t> + 1];
      const std::uint8_t* const end = put_varint(bytes, value);
      const std::uint8_t* in = bytes;
      CHECK(get_varint<std::uint64_t>(in) == value);
      CHECK(in == end);
      std::uint64_t checked = 0;
      in = bytes;
      CHECK(get_checked_varint(in, end, checked) && checked == value && in == end);
      in = bytes;
      CHECK(!get_checked_varint(in, end - 1, checked));
    }
  }
}

void test_wide_values_survive() {
  for (unsigned bit = 0; bit < 128; ++bit) {
    const WideKey value = (WideKey{1} << bit) - 1 + (WideKey{bit} << (bit / 2));
    std::uint8_t bytes[max_varint_size<WideKey> + 1];
    const std::uint8_t* const end = put_varint(bytes, value);
    const std::uint8_t* in = bytes;
    CHECK(get_varint<WideKey>(in) == value && in == end);
    WideKey checked = 0;
    in = bytes;
    CHECK(get_checked_varint(in, end, checked) && checked == value && in == end);
  }
}

void test_what_is_no_integer_of_the_type_is_refused() {
  std::uint8_t bytes[20];
  for (std::uint8_t& byte : bytes) byte = 255;
  std::uint64_t narrow = 0;
  const std::uint8_t* in = bytes;
  CHECK(!get_checked_varint(in, bytes + 20, narrow));
  // Ten bytes may hold 70 bits; 64 of them fit.
  bytes[9] = 2;
  in = bytes;
  CHECK(!get_checked_varint(in, bytes + 20, narrow));
  bytes[9] = 1;
  in = bytes;
  CHECK(get_checked_varint(in, bytes + 20, narrow) && narrow == ~std::uint64_t{0} && in == bytes + 10);
  in = bytes;
  CHECK(!get_checked_varint(in, bytes, narrow));
}

void test_short_entries_are_read_at_once_and_others_left_alone() {
  for (const std::uint64_t step : {0u, 1u, 127u, 128u, 129u, 16383u, 16384u, 2097151u, 2097152u}) {
    for (const std::uint64_t count : {1u, 127u, 128u, 16384u}) {
      // What lies behind an entry must not matter.
      for (const int behind : {0, 0x7F, 0x80, 0xFF}) {
        std::uint8_t bytes[2 * max_varint_size<std::uint64_t> + 1];
        std::memset(bytes, behind, sizeof bytes);
        std::uint8_t* end = put_varint(put_varint(bytes, step), count);
        *end = static_cast<std::uint8_t>(behind);
        const std::uint8_t* in = bytes;
        std::uint32_t first = 0;
        std::uint32_t second = 0;
        if (get_short_entry(in, bytes + sizeof bytes, first, second)) {
          CHECK(step < 16384 && count < 128);
          CHECK(first == step && second == count && in == end);
        } else {
          CHECK(step >= 16384 || count >= 128);
          CHECK(in == bytes);
        }
        CHECK(!get_short_entry(in, in + 3, first, second));
      }
    }
  }
}

void test_a_byte_holds_seven_bits() {
  std::uint8_t bytes[max_varint_size<std::uint64_t> + 1];
  CHECK(put_varint(bytes, 0u) == bytes + 1);
  CHECK(put_varint(bytes, 127u) == bytes + 1);
  CHECK(put_varint(bytes, 128u) == bytes + 2);
  CHECK(bytes[0] == 128 && bytes[1] == 1);
  CHECK(put_varint(bytes, 16383u) == bytes + 2);
  CHECK(put_varint(bytes, 16384u) == bytes + 3);
  CHECK(put_varint(bytes, ~std::uint64_t{0}) == bytes + max_varint_size<std::uint64_t>);
}

}  // namespace

int main() {
  test_values_around_every_power_of_two_survive();
  test_wide_values_survive();
  test_what_is_no_integer_of_the_type_is_refused();
  test_short_entries_are_read_at_once_and_others_left_alone();
  test_a_byte_holds_seven_bits();
  return mixlaw::test::finish();
}
