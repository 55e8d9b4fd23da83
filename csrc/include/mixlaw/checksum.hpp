// The checksum of count files.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mixlaw {

// XXH64 with seed 0, as https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md defines it.
std::uint64_t checksum(const std::uint8_t* bytes, std::size_t size);

}  // namespace mixlaw
