// A small fuzzer for compilers without libFuzzer, with the same entry point and options.
//
//   fuzz_<target> -max_total_time=60 -seed=1   mutates inputs at random, and keeps those that reach code, or loop
//   counts,
//                                              that none reached before
//   fuzz_<target> FILE...                      runs the target on files
//
// The input at work lies in fuzz_<target>.last, so that it is there after a crash, however the process ended.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t most_bytes = 1024;
constexpr std::size_t places = std::size_t{1} << 16;
// How often code was reached, by a hash of its address, and which magnitudes were seen before. Several threads may
// count at once: a count that is lost does no harm.
std::uint8_t reached[places];
std::uint8_t seen[places];

// Whether the last input reached something new; forgets what it reached.
bool note_new() {
  bool news = false;
  for (std::size_t place = 0; place < places; ++place) {
    const std::uint8_t times = reached[place];
    if (times == 0) continue;
    const auto magnitude = static_cast<std::uint8_t>(times < 4 ? 1 << (times - 1) : times < 32 ? 8 : 16);
    news = news || (seen[place] & magnitude) == 0;
    seen[place] |= magnitude;
  }
  std::memset(reached, 0, places);
  return news;
}

Bytes mutated(const std::vector<Bytes>& corpus, std::mt19937_64& random) {
  Bytes input = corpus[random() % corpus.size()];
  const auto below = [&](std::size_t end) { return static_cast<std::size_t>(random() % end); };
  for (std::size_t edits = 1 + below(8); edits > 0; --edits) {
    const std::size_t at = below(input.size() + 1);
    const auto place = input.begin() + static_cast<std::ptrdiff_t>(at);
    const std::size_t rest = input.size() - at;
    switch (below(6)) {
      case 0:
        if (rest > 0) input[at] = static_cast<std::uint8_t>(random());
        break;
      case 1:
        if (rest > 0) input[at] = static_cast<std::uint8_t>(input[at] ^ 1u << below(8));
        break;
      case 2:
        if (rest > 0) input[at] = static_cast<std::uint8_t>(input[at] + 1 - 2 * below(2));
        break;
      case 3:
        input.erase(place, place + static_cast<std::ptrdiff_t>(below(rest + 1) % 16));
        break;
      case 4:
        for (std::size_t n = 1 + below(8); n > 0; --n) {
          input.insert(input.begin() + static_cast<std::ptrdiff_t>(at), static_cast<std::uint8_t>(random()));
        }
        break;
      default: {
        const Bytes& other = corpus[random() % corpus.size()];
        const std::size_t from = below(other.size() + 1);
        const std::size_t size = below(other.size() - from + 1);
        input.insert(place, other.begin() + static_cast<std::ptrdiff_t>(from),
                     other.begin() + static_cast<std::ptrdiff_t>(from + size));
      }
    }
  }
  if (input.size() > most_bytes) input.resize(most_bytes);
  return input;
}

// A file in memory that outlives the process.
std::uint8_t* shared_file(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC, 0666);
  if (descriptor < 0 || ftruncate(descriptor, most_bytes) != 0) return nullptr;
  void* const memory = mmap(nullptr, most_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  close(descriptor);
  return memory == MAP_FAILED ? nullptr : static_cast<std::uint8_t*>(memory);
}

bool option(const std::string& word, const std::string& name, std::uint64_t& value) {
  if (word.rfind("-" + name + "=", 0) != 0) return false;
  value = std::strtoull(word.c_str() + name.size() + 2, nullptr, 10);
  return true;
}

}  // namespace

extern "C" void __sanitizer_cov_trace_pc() {
  const auto address = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0));
  std::uint8_t& times = reached[(address * 0x9E3779B97F4A7C15u) >> 48];
  if (times < 255) ++times;
}

int main(int words, char** word) {
  std::uint64_t seconds = 60;
  std::uint64_t seed = 1;
  bool replayed = false;
  for (int i = 1; i < words; ++i) {
    if (option(word[i], "max_total_time", seconds) || option(word[i], "seed", seed)) continue;
    std::ifstream file(word[i], std::ios::binary);
    const Bytes input{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    LLVMFuzzerTestOneInput(input.data(), input.size());
    replayed = true;
  }
  if (replayed) return 0;
  const std::string last_path = std::string(word[0]) + ".last";
  std::uint8_t* const last = shared_file(last_path);
  if (last == nullptr) {
    std::perror(last_path.c_str());
    return 2;
  }
  std::mt19937_64 random(seed);
  std::vector<Bytes> corpus{{}};
  std::uint64_t runs = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  for (; std::chrono::steady_clock::now() < end; ++runs) {
    Bytes input = mutated(corpus, random);
    // As long as the input, for what is behind it would be part of it on replay.
    if (truncate(last_path.c_str(), static_cast<off_t>(input.size())) != 0) return 2;
    if (!input.empty()) std::memcpy(last, input.data(), input.size());
    LLVMFuzzerTestOneInput(input.data(), input.size());
    if (note_new()) corpus.push_back(std::move(input));
  }
  std::size_t blocks = 0;
  for (const std::uint8_t magnitudes : seen) blocks += magnitudes != 0;
  std::printf("%s: %llu inputs, %zu of them reached something new, %zu blocks of code\n", word[0],
              static_cast<unsigned long long>(runs), corpus.size() - 1, blocks);
  unlink(last_path.c_str());
  return 0;
}
