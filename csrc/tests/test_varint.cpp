#include <cstdint>

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
  test_a_byte_holds_seven_bits();
  return mixlaw::test::finish();
}
