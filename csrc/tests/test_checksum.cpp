#include <cstdint>
#include <string>
#include <vector>

#include "check.hpp"
#include "mixlaw/checksum.hpp"

namespace {

using namespace mixlaw;

std::uint64_t of(const std::string& text) {
  return checksum(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
}

void test_published_values() {
  // As the xxhash package gives them, seed 0.
  CHECK(of("") == 0xef46db3751d8e999u);
  CHECK(of("a") == 0xd24ec4f1a98c6e5bu);
  CHECK(of("as") == 0x1c330fb2d66be179u);
  CHECK(of("asd") == 0x631c37ce72a97393u);
  CHECK(of("asdf") == 0x415872f599cea71eu);
  CHECK(of("abc") == 0x44bc2cf5ad770999u);
  CHECK(of("Call me Ishmael. Some years ago--never mind how long precisely-") == 0x02a2e85470d6fd96u);
  // Every way in which 32, 8, 4 and single bytes follow each other.
  std::vector<std::uint8_t> bytes;
  for (unsigned i = 0; i < 100; ++i) bytes.push_back(static_cast<std::uint8_t>(i * 37));
  CHECK(checksum(bytes.data(), 31) == 0x4513ec5ebc46d0d3u);
  CHECK(checksum(bytes.data(), 32) == 0x2c1f2ffa2ace16d3u);
  CHECK(checksum(bytes.data(), 33) == 0x62f3b71cd8263c47u);
  CHECK(checksum(bytes.data(), 40) == 0xb3e25688fe539300u);
  CHECK(checksum(bytes.data(), 44) == 0xdfe8aa76f8915e3bu);
  CHECK(checksum(bytes.data(), 100) == 0x3f99fd1263b54f01u);
}

void test_every_byte_and_the_length_matter_at_any_address() {
  for (std::size_t size = 1; size <= 100; ++size) {
    std::vector<std::uint8_t> bytes(size + 8);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i * 37);
    const std::uint64_t sum = checksum(bytes.data(), size);
    CHECK(checksum(bytes.data(), size - 1) != sum);
    for (std::size_t i = 0; i < size; ++i) {
      bytes[i] ^= 1;
      CHECK(checksum(bytes.data(), size) != sum);
      bytes[i] ^= 1;
    }
    for (std::size_t shift = 1; shift < 8; ++shift) {
      bytes.insert(bytes.begin(), 0);
      CHECK(checksum(bytes.data() + shift, size) == sum);
    }
  }
}

}  // namespace

int main() {
  test_published_values();
  test_every_byte_and_the_length_matter_at_any_address();
  return mixlaw::test::finish();
}
