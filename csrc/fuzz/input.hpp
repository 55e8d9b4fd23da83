// What a fuzzer gives, read as numbers; zeros behind its end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace mixlaw::fuzz {

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : at_(data), end_(data + size) {}

  bool empty() const { return at_ == end_; }
  std::uint8_t u8() { return empty() ? std::uint8_t{0} : *at_++; }
  std::uint64_t u16() {
    const std::uint64_t low = u8();
    return low | std::uint64_t{u8()} << 8;
  }
  std::uint64_t u64() {
    std::uint64_t value = 0;
    for (int i = 0; i < 8; ++i) value |= std::uint64_t{u8()} << (8 * i);
    return value;
  }

 private:
  const std::uint8_t* at_;
  const std::uint8_t* end_;
};

// Ends the process, which is how a fuzzer learns of a fault.
inline void require(bool true_, const char* what) {
  if (true_) return;
  std::fprintf(stderr, "not true: %s\n", what);
  std::abort();
}

}  // namespace mixlaw::fuzz

#define REQUIRE(condition) ::mixlaw::fuzz::require(condition, #condition)
