// Token streams for tests, and the plainest way to count them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <random>
#include <stdexcept>
#include <vector>

#include "mixlaw/count_plan.hpp"
#include "mixlaw/ngram_keys.hpp"
#include "mixlaw/run.hpp"
#include "mixlaw/run_memory.hpp"
#include "mixlaw/run_storage.hpp"
#include "mixlaw/tokens.hpp"

namespace mixlaw::test {

// By key.
using Counts = std::map<WideKey, std::uint64_t>;

// Tokens with document borders, which own what Documents borrows.
struct Stream {
  std::vector<std::uint32_t> tokens;
  std::vector<std::int64_t> offsets;

  Documents documents() const {
    return {{tokens.data(), tokens.size(), TokenType::u32}, offsets.data(), offsets.size() - 1};
  }
};

// Skewed like text: a few tokens are most of it. Documents of 0 to 2 * mean_document tokens.
inline Stream skewed_stream(std::size_t size, std::uint64_t vocab_size, std::size_t mean_document, unsigned seed) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> uniform(0.0, 1.0);
  Stream stream;
  for (std::size_t i = 0; i < size; ++i) {
    const double u = uniform(random);
    stream.tokens.push_back(static_cast<std::uint32_t>(u * u * u * u * static_cast<double>(vocab_size)));
  }
  stream.offsets.push_back(0);
  while (stream.offsets.back() < static_cast<std::int64_t>(size)) {
    const auto length = static_cast<std::int64_t>(random() % (2 * mean_document + 1));
    stream.offsets.push_back(std::min(stream.offsets.back() + length, static_cast<std::int64_t>(size)));
  }
  return stream;
}

// The n-grams that end in [begin, end).
inline Counts plain_counts(const Stream& stream, std::size_t begin, std::size_t end, const NgramKeys& keys) {
  Counts counts;
  for (std::size_t d = 0; d + 1 < stream.offsets.size(); ++d) {
    const auto from = static_cast<std::size_t>(stream.offsets[d]) + keys.order - 1;
    const auto to = std::min(static_cast<std::size_t>(stream.offsets[d + 1]), end);
    for (std::size_t last = std::max(from, begin); last < to; ++last) {
      WideKey key = 0;
      for (std::size_t i = last + 1 - keys.order; i <= last; ++i) key = key << keys.token_bits | stream.tokens[i];
      ++counts[key];
    }
  }
  return counts;
}

// What a run holds; checks that it is sorted, and that what it says of itself is true, by giving nothing if not.
inline Counts counts_of(const Run& run) {
  Counts counts;
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;
  for (const Segment& segment : run.segments) {
    bool sound = segment.size > 0 && (counts.empty() || counts.rbegin()->first < segment.first_key);
    std::uint64_t here = 0;
    WideKey key = 0;
    for (const std::uint8_t* in = segment.begin(); in != segment.end();) {
      key += get_varint<WideKey>(in);
      const auto count = get_varint<std::uint64_t>(in);
      sound = sound && (here > 0 ? counts.rbegin()->first < key : key == segment.first_key) && count > 0;
      counts.emplace_hint(counts.end(), key, count);
      ++here;
    }
    if (!sound || here != segment.entries) return {};
    entries += here;
    bytes += segment.size;
  }
  return entries == run.entries && bytes == run.bytes ? counts : Counts{};
}

inline RunStorage unlimited_storage() { return {std::numeric_limits<std::size_t>::max(), "", FileLife::nameless}; }

// The least limit of memory under which keys can be counted.
inline std::uint64_t least_limit(unsigned threads, const NgramKeys& keys) {
  std::uint64_t below = 0;
  std::uint64_t enough = ~std::uint64_t{0};
  while (enough - below > 1) {
    const std::uint64_t middle = below + (enough - below) / 2;
    try {
      make_plan(middle, threads, keys);
      enough = middle;
    } catch (const std::invalid_argument&) {
      below = middle;
    }
  }
  return enough;
}

inline Run run_of(const Counts& counts) {
  MemorySink sink(make_gauge());
  RunWriter<WideKey> writer(sink);
  for (const auto& [key, count] : counts) writer.write(key, count);
  return sink.finish(writer.finish());
}

}  // namespace mixlaw::test
