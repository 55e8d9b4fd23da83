// A counter and a plain one, which do the same: any sequence of calls.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "folder.hpp"
#include "input.hpp"
#include "mixlaw/ngram_counter.hpp"
#include "streams.hpp"

namespace {

using namespace mixlaw;
using test::Counts;

const StopCheck never;

struct Kind {
  std::uint64_t vocab_size;
  unsigned order;
};
constexpr Kind kinds[] = {{1, 1},          {3, 2}, {300, 2},        {70000, 2},
                          {2147483648, 2}, {5, 3}, {2147483648, 4}, {33554432, 5}};

// A small input, to be counted as often as `repeats` says.
struct Call {
  std::vector<std::uint32_t> tokens;
  std::vector<std::int64_t> offsets{0};
  std::size_t context = 0;
  std::size_t repeats = 1;
  TokenType type = TokenType::u32;
};

// Totals and counts of every n, plainly.
struct Plain {
  explicit Plain(const Kind& kind) {
    for (unsigned n = 1; n <= kind.order; ++n) keys.emplace_back(n, kind.vocab_size);
    counts.resize(kind.order);
    totals.resize(kind.order);
  }
  void add(const Call& call) {
    for (std::size_t i = 0; i < keys.size(); ++i) {
      const std::size_t n = i + 1;
      for (std::size_t d = 0; d + 1 < call.offsets.size(); ++d) {
        const auto end = static_cast<std::size_t>(call.offsets[d + 1]);
        for (std::size_t last = static_cast<std::size_t>(call.offsets[d]) + n - 1; last < end; ++last) {
          // History is at the beginning of the first repeat alone.
          const std::size_t times = call.repeats - (last < call.context ? 1 : 0);
          if (times == 0) continue;
          WideKey key = 0;
          for (std::size_t at = last + 1 - n; at <= last; ++at) key = key << keys[i].token_bits | call.tokens[at];
          counts[i][key] += times;
          totals[i] += times;
        }
      }
    }
  }
  void add(const Plain& other) {
    for (std::size_t i = 0; i < keys.size(); ++i) {
      const Counts more = other.counts[i];
      for (const auto& [key, count] : more) counts[i][key] += count;
      totals[i] += other.totals[i];
    }
  }
  bool small() const { return totals[0] < std::uint64_t{1} << 60; }

  std::vector<NgramKeys> keys;
  std::vector<Counts> counts;
  std::vector<std::uint64_t> totals;
};

Call call_of(fuzz::Input& input, const Kind& kind) {
  Call call;
  const std::size_t size = input.u8() % 40;
  for (std::size_t i = 0; i < size; ++i) {
    // Few different tokens, and the largest.
    const std::uint64_t token = input.u8() % 8;
    call.tokens.push_back(static_cast<std::uint32_t>(token == 7 ? kind.vocab_size - 1 : token * 977 % kind.vocab_size));
  }
  while (call.offsets.back() < static_cast<std::int64_t>(size)) {
    call.offsets.push_back(std::min(call.offsets.back() + input.u8() % 12, static_cast<std::int64_t>(size)));
    if (input.empty()) call.offsets.push_back(static_cast<std::int64_t>(size));
  }
  call.context = std::min<std::size_t>(input.u8() % kind.order, size);
  const std::uint8_t type = input.u8() % 5;
  const TokenType types[] = {TokenType::u8, TokenType::u16, TokenType::u32, TokenType::i32, TokenType::i64};
  const std::uint64_t limits[] = {256, 65536, ~std::uint64_t{0}, ~std::uint64_t{0}, ~std::uint64_t{0}};
  if (kind.vocab_size <= limits[type]) call.type = types[type];
  return call;
}

template <class Token>
void update_as(NgramCounter& counter, const Call& call, const StopCheck& stop) {
  // At an odd address.
  std::vector<std::uint8_t> bytes(1 + call.repeats * call.tokens.size() * sizeof(Token));
  std::uint8_t* out = bytes.data() + 1;
  std::vector<std::int64_t> offsets{0};
  for (std::size_t r = 0; r < call.repeats; ++r) {
    for (const std::uint32_t token : call.tokens) {
      const auto value = static_cast<Token>(token);
      std::memcpy(out, &value, sizeof value);
      out += sizeof value;
    }
    const std::int64_t begin = offsets.back();
    for (std::size_t d = 1; d < call.offsets.size(); ++d) offsets.push_back(begin + call.offsets[d]);
  }
  const TokenArray tokens{bytes.data() + 1, call.repeats * call.tokens.size(), call.type};
  counter.update({tokens, offsets.data(), offsets.size() - 1}, static_cast<std::int64_t>(call.context), stop);
}

void update(NgramCounter& counter, const Call& call, const StopCheck& stop) {
  switch (call.type) {
    case TokenType::u8:
      return update_as<std::uint8_t>(counter, call, stop);
    case TokenType::u16:
      return update_as<std::uint16_t>(counter, call, stop);
    case TokenType::u32:
      return update_as<std::uint32_t>(counter, call, stop);
    case TokenType::i32:
      return update_as<std::int32_t>(counter, call, stop);
    case TokenType::i64:
      return update_as<std::int64_t>(counter, call, stop);
  }
}

void check(NgramCounter& counter, const Plain& plain) {
  for (std::size_t i = 0; i < plain.keys.size(); ++i) {
    const auto n = static_cast<std::int64_t>(i + 1);
    const Counts& expected = plain.counts[i];
    REQUIRE(counter.total(n, never) == plain.totals[i]);
    const RunPtr run = counter.counts(n, never);
    for (const Segment& segment : run->segments) segment.holder->check(segment);
    REQUIRE(test::counts_of(*run) == expected);
    REQUIRE(counter.distinct(n, never) == expected.size());
    if (expected.empty()) continue;
    double entropy = 0.0;
    for (const auto& [key, count] : expected) {
      const double share = static_cast<double>(count) / static_cast<double>(plain.totals[i]);
      entropy -= share * std::log(share);
    }
    REQUIRE(std::abs(counter.entropy_of(n, never) - entropy) < 1e-9);
    const double conditional = counter.conditional_entropy_of(n, never);
    REQUIRE(conditional >= -1e-12 && conditional <= entropy + 1e-9);
  }
}

// A counter and what it should hold; and what it saved.
class Pair {
 public:
  Pair(const Kind& kind, CounterSettings settings) : kind_(kind), settings_(std::move(settings)), plain(kind) {
    renew();
  }

  void renew() {
    counter.reset();
    counter = std::make_unique<NgramCounter>(settings_);
  }
  void save(bool forget) {
    saved_ = counter->save(never);
    saved_plain_ = plain;
    if (forget) counter->forget_others(saved_, never);
  }
  // As after a process that ended without a word.
  void restore() {
    renew();
    counter->restore(saved_, never);
    plain = saved_plain_;
  }

 private:
  Kind kind_;
  CounterSettings settings_;
  NgramCounter::Saved saved_{};

 public:
  Plain plain;
  std::unique_ptr<NgramCounter> counter;

 private:
  Plain saved_plain_{kind_};
};

void step(fuzz::Input& input, const Kind& kind, Pair& one, Pair& other, const test::Folder& folder) {
  const std::uint8_t what = input.u8();
  const std::string path = folder.path("a.mlc");
  switch (what % 16) {
    default: {
      const Call call = call_of(input, kind);
      update(*one.counter, call, never);
      one.plain.add(call);
      break;
    }
    case 1: {
      // Long enough to be counted where it lies, in several blocks, and to be interrupted.
      Call call = call_of(input, kind);
      call.repeats = 1 + input.u16() % 8192;
      const int most = input.u8() % 16;
      int asked = 0;
      try {
        update(*one.counter, call, [&] { return ++asked > most; });
        one.plain.add(call);
      } catch (const Interrupted&) {
        REQUIRE(asked > most);
      }
      break;
    }
    case 2: {
      Call call = call_of(input, kind);
      if (call.tokens.empty() || call.type == TokenType::u8 || kind.vocab_size > 65535) break;
      const std::size_t bad = input.u8() % call.tokens.size();
      call.tokens[bad] = static_cast<std::uint32_t>(kind.vocab_size);
      try {
        update(*one.counter, call, never);
        REQUIRE(false);
      } catch (const TokenError& error) {
        REQUIRE(error.position() == bad);
      }
      break;
    }
    case 3:
      if (!one.plain.small() || !other.plain.small()) break;
      one.counter->merge(*other.counter, never);
      one.plain.add(other.plain);
      break;
    case 4:
      if (!one.plain.small()) break;
      one.counter->merge(*one.counter, never);
      one.plain.add(Plain(one.plain));
      break;
    case 5:
    case 6:
      // Into the other one, or once more.
      if (!one.plain.small() || !other.plain.small()) break;
      unlink(path.c_str());
      one.counter->write(path, "metadata", never);
      {
        Pair& to = what % 16 == 5 ? other : one;
        to.counter->add_file(open_count_file(path), never);
        to.plain.add(Plain(one.plain));
      }
      break;
    case 7:
      one.save(input.u8() % 2 == 0);
      break;
    case 8:
      one.restore();
      break;
    case 9:
      check(*one.counter, one.plain);
      break;
    case 10:
      one.counter->distinct(1 + input.u8() % kind.order, never);
      break;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const Kind& kind = kinds[input.u8() % std::size(kinds)];
  constexpr unsigned group_numbers[] = {1, 3, 16};
  const unsigned wanted = group_numbers[input.u8() % std::size(group_numbers)];
  const unsigned ngram_bits = kind.order * token_bits_for(kind.vocab_size);
  const unsigned groups = ngram_bits + group_bits_for(wanted) <= max_key_bits ? wanted : 1;
  const test::Folder folder;
  const auto pair = [&](const std::string& name) {
    const std::uint8_t how = input.u8();
    CounterSettings settings;
    settings.vocab_size = static_cast<std::int64_t>(kind.vocab_size);
    settings.order = kind.order;
    settings.groups = groups;
    settings.threads = 1 + how % 3;
    if (how / 4 % 2 == 1)
      settings.memory_limit = test::least_limit(settings.threads, {kind.order, kind.vocab_size, groups});
    settings.folder = folder.path(name);
    settings.file_life = FileLife::lasting;
    std::filesystem::create_directory(settings.folder);
    return Pair(kind, settings);
  };
  Pair a = pair("a");
  Pair b = pair("b");
  while (!input.empty()) {
    const bool first = input.u8() % 3 != 0;
    step(input, kind, first ? a : b, first ? b : a, folder);
  }
  check(*a.counter, a.plain);
  check(*b.counter, b.plain);
  return 0;
}
