// NgramCounter of every order against plain counting, with documents and context cut anywhere.
#include <cmath>
#include <cstdint>
#include <map>
#include <random>
#include <vector>

#include "check.hpp"
#include "mixlaw/ngram_counter.hpp"
#include "streams.hpp"

namespace {

using namespace mixlaw;
using test::Counts;
using test::Stream;

const StopCheck never;

CounterSettings settings(std::uint64_t vocab_size, unsigned order, unsigned threads) {
  CounterSettings made;
  made.vocab_size = static_cast<std::int64_t>(vocab_size);
  made.order = order;
  made.threads = threads;
  return made;
}

// What was counted, for every n up to the order.
struct Plain {
  explicit Plain(unsigned order, std::uint64_t vocab_size) {
    for (unsigned n = 1; n <= order; ++n) keys.emplace_back(n, vocab_size);
    counts.resize(order);
  }
  void add(const Stream& stream, std::size_t context) {
    for (std::size_t n = 0; n < keys.size(); ++n) {
      for (const auto& [key, count] : test::plain_counts(stream, context, stream.tokens.size(), keys[n])) {
        counts[n][key] += count;
      }
    }
  }
  std::vector<NgramKeys> keys;
  std::vector<Counts> counts;
};

double plain_entropy(const Counts& counts) {
  double total = 0.0;
  for (const auto& [key, count] : counts) total += static_cast<double>(count);
  double entropy = 0.0;
  for (const auto& [key, count] : counts) {
    const double share = static_cast<double>(count) / total;
    entropy -= share * std::log(share);
  }
  return entropy;
}

void check_counts(NgramCounter& counter, const Plain& plain, std::mt19937_64& random) {
  for (std::size_t i = 0; i < plain.keys.size(); ++i) {
    const auto n = static_cast<std::int64_t>(i + 1);
    const NgramKeys& keys = plain.keys[i];
    const Counts& expected = plain.counts[i];
    std::uint64_t total = 0;
    std::map<std::uint64_t, std::uint64_t> how_often;
    Counts prefixes;
    for (const auto& [key, count] : expected) {
      total += count;
      ++how_often[count];
      prefixes[key >> keys.token_bits] += count;
    }
    CHECK(counter.total(n, never) == total);
    CHECK(counter.distinct(n, never) == expected.size());
    CHECK(test::counts_of(*counter.counts(n, never)) == expected);
    const CountOfCounts found = counter.count_of_counts(n, never);
    CHECK((std::map<std::uint64_t, std::uint64_t>(how_often)).size() == found.counts.size());
    for (std::size_t c = 0; c < found.counts.size(); ++c) CHECK(how_often[found.counts[c]] == found.how_many[c]);
    // N-grams that were counted, and some that most likely were not.
    for (int probe = 0; probe < 4; ++probe) {
      std::vector<std::int64_t> ngram(i + 1);
      WideKey key = 0;
      auto at = expected.begin();
      if (probe % 2 == 0 && !expected.empty()) {
        std::advance(at, static_cast<std::ptrdiff_t>(random() % expected.size()));
        key = at->first;
      } else {
        for (std::size_t t = 0; t <= i; ++t) key = key << keys.token_bits | random() % keys.vocab_size;
        at = expected.find(key);
      }
      for (std::size_t t = 0; t <= i; ++t) {
        ngram[i - t] = static_cast<std::int64_t>(key >> (t * keys.token_bits) & ((WideKey{1} << keys.token_bits) - 1));
      }
      CHECK(counter.count_of(ngram, never) == (at == expected.end() ? 0 : at->second));
    }
    if (total == 0) continue;
    CHECK(std::abs(counter.entropy_of(n, never) - plain_entropy(expected)) < 1e-12);
    const double conditional = n == 1 ? plain_entropy(expected) : plain_entropy(expected) - plain_entropy(prefixes);
    CHECK(std::abs(counter.conditional_entropy_of(n, never) - conditional) < 1e-12);
  }
}

// Documents of few tokens, or long ones.
Stream random_stream(std::size_t size, std::uint64_t vocab_size, std::size_t mean_document, std::mt19937_64& random) {
  Stream stream = test::skewed_stream(size, vocab_size, mean_document, static_cast<unsigned>(random()));
  // The largest token is there, too.
  if (size > 3) stream.tokens[size / 2] = static_cast<std::uint32_t>(vocab_size - 1);
  return stream;
}

void test_every_order_agrees_with_plain_counting() {
  std::mt19937_64 random(1);
  for (const std::uint64_t vocab_size : {1u, 2u, 5u, 1271u, 50257u, 1048577u, 33554432u, 2147483648u}) {
    for (unsigned order = 1; order <= max_order; ++order) {
      if (order * token_bits_for(vocab_size) > max_key_bits) continue;
      for (const std::size_t mean_document : {1u, 3u, 700u}) {
        Plain plain(order, vocab_size);
        NgramCounter counter(settings(vocab_size, order, 1 + static_cast<unsigned>(random() % 3)));
        NgramCounter other(settings(vocab_size, order, 1));
        for (int call = 0; call < 12; ++call) {
          const Stream stream = random_stream(random() % 300, vocab_size, mean_document, random);
          // Whatever of the array is history, across borders of documents as well.
          const std::size_t context = std::min<std::size_t>(random() % order, stream.tokens.size());
          (random() % 3 == 0 ? other : counter).update(stream.documents(), static_cast<std::int64_t>(context), never);
          plain.add(stream, context);
          if (random() % 4 == 0) counter.distinct(1 + static_cast<std::int64_t>(random() % order), never);
        }
        counter.merge(other, never);
        check_counts(counter, plain, random);
      }
    }
  }
}

void test_documents_cut_anywhere_count_as_whole_ones() {
  std::mt19937_64 random(2);
  for (unsigned order = 1; order <= max_order; ++order) {
    const Stream stream = random_stream(3000, 63, 30, random);
    Plain plain(order, 63);
    plain.add(stream, 0);
    NgramCounter counter(settings(63, order, 1));
    for (std::size_t d = 0; d + 1 < stream.offsets.size(); ++d) {
      const auto begin = static_cast<std::size_t>(stream.offsets[d]);
      const auto end = static_cast<std::size_t>(stream.offsets[d + 1]);
      for (std::size_t from = begin; from < end;) {
        const std::size_t to = std::min(end, from + 1 + random() % 9);
        const std::size_t context = std::min<std::size_t>(from - begin, order - 1);
        const std::int64_t offsets[] = {0, static_cast<std::int64_t>(to - from + context)};
        const TokenArray tokens{stream.tokens.data() + from - context, to - from + context, TokenType::u32};
        counter.update({tokens, offsets, 1}, static_cast<std::int64_t>(context), never);
        from = to;
      }
    }
    check_counts(counter, plain, random);
  }
}

void test_long_inputs_count_as_short_ones() {
  // Counted where it lies, in contrast to its parts; with history at its beginning.
  std::mt19937_64 random(3);
  const std::size_t size = (std::size_t{1} << 23) + 1271;
  const Stream stream = random_stream(size, 50, 5, random);
  for (const unsigned order : {3u, 5u}) {
    const unsigned context = order - 1;
    NgramCounter whole(settings(50, order, 2));
    whole.update(stream.documents(), context, never);
    NgramCounter parts(settings(50, order, 1));
    const std::size_t documents = stream.offsets.size() - 1;
    for (std::size_t d = 0; d < documents;) {
      const std::size_t end = std::min(documents, d + 100000);
      const std::int64_t begin = stream.offsets[d];
      std::vector<std::int64_t> offsets;
      for (std::size_t i = d; i <= end; ++i) offsets.push_back(stream.offsets[i] - begin);
      const auto tokens = static_cast<std::size_t>(offsets.back());
      parts.update({{stream.tokens.data() + begin, tokens, TokenType::u32}, offsets.data(), offsets.size() - 1},
                   d == 0 ? context : 0, never);
      d = end;
    }
    for (std::int64_t n = 1; n <= order; ++n) {
      CHECK(whole.total(n, never) == parts.total(n, never));
      CHECK(whole.entropy_of(n, never) == parts.entropy_of(n, never));
      CHECK(whole.conditional_entropy_of(n, never) == parts.conditional_entropy_of(n, never));
    }
    CHECK(test::counts_of(*whole.counts(2, never)) == test::counts_of(*parts.counts(2, never)));
  }
}

}  // namespace

int main() {
  test_every_order_agrees_with_plain_counting();
  test_documents_cut_anywhere_count_as_whole_ones();
  test_long_inputs_count_as_short_ones();
  return mixlaw::test::finish();
}
