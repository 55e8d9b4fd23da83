// The reader of count files, given sound files with some bytes changed.
//
// The first byte of an input chooses the file, the second whether checksums are made right again, so that what they
// protect is reached; then come edits.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "count_file_bytes.hpp"
#include "folder.hpp"
#include "input.hpp"
#include "mixlaw/count_file.hpp"
#include "mixlaw/ngram_counter.hpp"

namespace {

using namespace mixlaw;
using test::Bytes;

// Two segments of pairs, tails, and history; keys of 128 bits; and large counts in a row of two places.
std::vector<Bytes> sound_files() {
  test::FileBytes pairs;
  pairs.totals = {10, 8, 0, 0, 0};
  pairs.tables = {{0, 2, {{1027, 2, {0x83, 0x08, 1, 2, 5}}, {2048, 1, {0x80, 0x10, 2}}}},
                  {1, 1, {{7, 2, {7, 3, 2, 1}}}},
                  {2, 1, {{1, 1, {1, 1}}}}};
  test::FileBytes wide;
  wide.order = 5;
  wide.vocab_size = 33554432;
  wide.totals = {4, 3, 2, 2, 3};
  Bytes high(17, 0x80);
  high.insert(high.end(), {0x20, 2});  // 2^124, twice
  wide.tables = {{0, 5, {{3, 1, {3, 1}}, {WideKey{1} << 124, 1, high}}}, {1, 4, {{8, 2, {8, 1, 1, 1}}}}};
  test::FileBytes heavy;
  heavy.order = 1;
  heavy.vocab_size = 2;
  Bytes half(9, 0x80);
  half.push_back(1);  // 2^63
  Bytes both{0};
  both.insert(both.end(), half.begin(), half.end());
  both.push_back(1);
  both.insert(both.end(), half.begin(), half.end());
  heavy.tables = {{0, 1, {{0, 2, both}}}};
  test::FileBytes grouped;  // pairs of tokens of 4 bits in groups 0 and 2
  grouped.vocab_size = 16;
  grouped.groups = 3;
  grouped.totals = {6, 4, 0, 0, 0};
  grouped.tables = {{0, 2, {{18, 2, {18, 1, 1, 2}}, {519, 1, {0x87, 0x04, 1}}}},
                    {1, 1, {{3, 1, {3, 1}}, {34, 1, {34, 1}}}}};
  return {pairs.bytes(), wide.bytes(), heavy.bytes(), grouped.bytes()};
}

void put_u64(Bytes& bytes, std::size_t at, std::uint64_t value) {
  for (std::size_t i = 0; i < 8 && at + i < bytes.size(); ++i) {
    bytes[at + i] = static_cast<std::uint8_t>(value >> (8 * i));
  }
}

void edit(Bytes& bytes, fuzz::Input& input) {
  static constexpr std::uint64_t numbers[] = {
      0, 1, 2, 255, std::uint64_t{1} << 31, std::uint64_t{1} << 63, ~std::uint64_t{0}};
  const std::uint8_t kind = input.u8();
  const auto at = static_cast<std::size_t>(input.u16() % (bytes.size() + 1));
  const auto place = bytes.begin() + static_cast<std::ptrdiff_t>(at);
  const std::size_t rest = bytes.size() - at;
  switch (kind % 7) {
    case 0:
      if (rest > 0) bytes[at] = input.u8();
      break;
    case 1:
      if (rest > 0) bytes[at] = static_cast<std::uint8_t>(bytes[at] ^ 1u << input.u8() % 8);
      break;
    case 2:
      put_u64(bytes, at, numbers[input.u8() % std::size(numbers)]);
      break;
    case 3:
      put_u64(bytes, at, (rest >= 8 ? load_u64(&bytes[at]) : 0) + input.u16() - 0x8000);
      break;
    case 4:
      bytes.erase(place, place + static_cast<std::ptrdiff_t>(std::min<std::size_t>(rest, input.u8() % 64)));
      break;
    case 5:
      bytes.insert(place, input.u8() % 64, input.u8());
      break;
    default:
      if (rest > 0) bytes.resize(at);
  }
}

// Every checksum that can be found is made right; lengths are left as they are.
void repair(Bytes& bytes) {
  if (bytes.size() < 32 + 88) return;
  const std::uint64_t metadata = load_u64(&bytes[72]);
  if (metadata > bytes.size() - 88) return;
  put_u64(bytes, 80 + metadata, checksum(bytes.data(), 80 + metadata));
  const std::size_t trailer = bytes.size() - 32;
  const std::uint64_t index = load_u64(&bytes[trailer]);
  if (index > trailer - 4) return;
  std::size_t at = index + 4;
  for (std::uint64_t table = load_u32(&bytes[index]); table > 0 && at + 24 <= trailer; --table) {
    const std::uint64_t segments = load_u64(&bytes[at + 16]);
    at += 24;
    for (std::uint64_t s = 0; s < segments && at + 48 <= trailer; ++s, at += 48) {
      const std::uint64_t offset = load_u64(&bytes[at + 24]);
      const std::uint64_t size = load_u64(&bytes[at + 32]);
      if (offset <= bytes.size() && size <= bytes.size() - offset) {
        put_u64(bytes, at + 40, checksum(bytes.data() + offset, size));
      }
    }
  }
  put_u64(bytes, trailer + 8, trailer - index);
  put_u64(bytes, trailer + 16, checksum(&bytes[index], trailer - index));
}

// A file without a name, and the path by which it can be opened.
class Memory {
 public:
  explicit Memory(const Bytes& bytes) : descriptor_(memfd_create("fuzz", MFD_CLOEXEC)) {
    REQUIRE(descriptor_ >= 0);
    REQUIRE(write(descriptor_, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  }
  ~Memory() { close(descriptor_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

// What the reader lets through must be in order.
void read_all(const CountFile& file) {
  for (const Table& table : file.tables) {
    const NgramKeys keys(table.order, file.head.vocab_size, file.head.groups);
    const RunPtr run = std::make_shared<const Run>(table.run);
    std::uint64_t entries = 0;
    WideKey previous = 0;
    for (RunCursor<WideKey> cursor(whole(run), 0); cursor.key() != RunCursor<WideKey>::end_key; cursor.next()) {
      REQUIRE(entries == 0 || cursor.key() > previous);
      REQUIRE(cursor.key() >> keys.ngram_bits < keys.groups);
      REQUIRE(cursor.count() > 0);
      for (unsigned t = 0; t < keys.order; ++t) {
        const WideKey token = cursor.key() >> (t * keys.token_bits) & ((WideKey{1} << keys.token_bits) - 1);
        REQUIRE(token < keys.vocab_size);
      }
      previous = cursor.key();
      ++entries;
    }
    REQUIRE(entries == run->entries);
  }
}

using Counts = std::map<WideKey, std::uint64_t>;

// Adds up the n-grams of a file that is taken several times, in the plainest way; nothing where a sum has more than 64
// bits, or more of an n-gram is history than was counted.
std::optional<Counts> plain_counts(const CountFile& file, unsigned n, unsigned times) {
  std::map<WideKey, WideKey> plus;
  std::map<WideKey, WideKey> minus;
  for (const Table& table : file.tables) {
    if (table.order < n) continue;
    const NgramKeys keys(table.order, file.head.vocab_size, file.head.groups);
    const WideKey mask = (WideKey{1} << keys.ngram_bits) - 1;
    const RunPtr run = std::make_shared<const Run>(table.run);
    for (RunCursor<WideKey> cursor(whole(run), 0); cursor.key() != RunCursor<WideKey>::end_key; cursor.next()) {
      const WideKey key = (cursor.key() & mask) >> ((table.order - n) * keys.token_bits);
      (table.kind == TableKind::history ? minus : plus)[key] += WideKey{cursor.count()} * times;
    }
  }
  Counts counts;
  for (const auto& [key, count] : plus) {
    if (count > std::numeric_limits<std::uint64_t>::max() || minus[key] > count) return {};
    if (count > minus[key]) counts[key] = static_cast<std::uint64_t>(count - minus[key]);
    minus.erase(key);
  }
  if (!minus.empty()) return {};
  return counts;
}

bool is_sound(const CountFile& file, unsigned times) {
  for (const std::uint64_t total : file.head.totals) {
    if (total > std::numeric_limits<std::uint64_t>::max() / times) return false;
  }
  for (unsigned n = 1; n <= file.head.order; ++n) {
    if (!plain_counts(file, n, times)) return false;
  }
  return true;
}

// Asks all of a counter that was given the file several times. Totals may clash with the counts.
void count(const std::string& path, const CountFile& file, unsigned times) {
  const StopCheck never;
  CounterSettings settings;
  settings.vocab_size = static_cast<std::int64_t>(file.head.vocab_size);
  settings.order = file.head.order;
  settings.groups = file.head.groups;
  settings.threads = 1;
  NgramCounter counter(settings);
  for (unsigned i = 0; i < times; ++i) counter.add_file(open_count_file(path), never);
  for (std::int64_t n = 1; n <= settings.order; ++n) {
    const RunPtr run = counter.counts(n, never);
    REQUIRE(counter.distinct(n, never) == run->entries);
    Counts counts;
    for (RunCursor<WideKey> cursor(whole(run), 0); cursor.key() != RunCursor<WideKey>::end_key; cursor.next()) {
      counts.emplace(cursor.key(), cursor.count());
    }
    REQUIRE(counts == plain_counts(file, static_cast<unsigned>(n), times));
    if (counter.total(1, never) > 0 && counter.total(n, never) > 0) counter.conditional_entropy_of(n, never);
  }
  static const test::Folder folder;
  const std::string copy = folder.path("copy.mlc");
  unlink(copy.c_str());
  counter.write(copy, "", never);
  NgramCounter again(settings);
  again.add_file(open_count_file(copy), never);
  for (std::int64_t n = 1; n <= settings.order; ++n) {
    REQUIRE(again.total(n, never) == counter.total(n, never));
    REQUIRE(again.distinct(n, never) == counter.distinct(n, never));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::vector<Bytes> sound = sound_files();
  fuzz::Input input(data, size);
  const Bytes& before = sound[input.u8() % sound.size()];
  const std::uint8_t how = input.u8();
  const bool repaired = how % 2 == 1;
  Bytes bytes = before;
  while (!input.empty()) edit(bytes, input);
  if (repaired) repair(bytes);
  const Memory memory(bytes);
  try {
    const CountFile file = open_count_file(memory.path());
    read_all(file);
    // No change at all may pass that the checksums were not told of.
    REQUIRE(repaired || bytes == before);
    const unsigned times = 1 + how / 2 % 4;
    const bool sound_counts = is_sound(file, times);
    try {
      count(memory.path(), file, times);
      REQUIRE(sound_counts);
    } catch (const std::invalid_argument&) {
      REQUIRE(!sound_counts);
    } catch (const std::overflow_error&) {
      REQUIRE(!sound_counts);
    }
  } catch (const CountFileError& error) {
    REQUIRE(std::string(error.what()).find(", byte ") != std::string::npos);
    REQUIRE(bytes != before);
  } catch (const FileError&) {
    // mmap refuses a file without bytes, for one.
  }
  return 0;
}
