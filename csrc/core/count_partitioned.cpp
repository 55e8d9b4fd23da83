#include <algorithm>
#include <cstdint>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include "mixlaw/block.hpp"
#include "mixlaw/partition.hpp"
#include "mixlaw/row.hpp"

namespace mixlaw {
namespace {

constexpr std::size_t task_tokens = std::size_t{1} << 18;
// The masses of first tokens are estimated from this many stretches of this many tokens, spread over the block.
constexpr std::size_t sample_stretches = 1024;
constexpr std::size_t sample_tokens = 256;
// A group's pairs should fit in the second-level cache, and the lines that gather them, too.
constexpr std::size_t group_pairs = std::size_t{1} << 15;

std::vector<std::uint32_t> sample_masses(const Block& block, const NgramKeys& keys) {
  std::vector<std::uint32_t> mass(keys.vocab_size);
  std::vector<std::uint32_t> sample(sample_tokens);
  const std::size_t size = block.end - block.begin;
  const std::size_t step = std::max(size / sample_stretches, sample_tokens);
  for (std::size_t from = block.begin; from < block.end; from += step) {
    const std::size_t count = std::min(sample_tokens, block.end - from);
    load_tokens(block.documents.tokens, from, count, keys.vocab_size, sample.data());
    for (std::size_t i = 0; i < count; ++i) ++mass[sample[i]];
  }
  return mass;
}

// Counts the pairs of groups, for one thread. Low holds a second token.
template <class Low>
class GroupCounter {
 public:
  GroupCounter(unsigned token_bits, RunSink& sink) : token_bits_(token_bits), row_(token_bits), writer_(sink) {}

  // The rows of the first tokens [first, last).
  std::vector<Segment> count(const PairGroups& pairs, std::size_t group, std::uint32_t first, std::uint32_t last) {
    if (last - first == 1) {
      pairs.for_each_chunk(group, [&](const std::uint32_t* packed, std::size_t n) { row_.add_all(packed, n); });
      row_.write(writer_, std::uint64_t{first} << token_bits_);
    } else {
      gather_rows(pairs, group, first, last);
      std::size_t begin = 0;
      for (std::uint32_t token = first; token < last; ++token) {
        const std::size_t end = ends_[token - first];
        if (end == begin) continue;
        row_.add_all(seconds_.data() + begin, end - begin);
        row_.write(writer_, std::uint64_t{token} << token_bits_);
        begin = end;
      }
    }
    return writer_.finish();
  }

 private:
  // Sorts the second tokens of a group by their first one into seconds_; row i ends at ends_[i].
  void gather_rows(const PairGroups& pairs, std::size_t group, std::uint32_t first, std::uint32_t last) {
    const unsigned token_bits = token_bits_;
    const std::uint32_t row_mask = ~std::uint32_t{0} >> token_bits;
    const auto row_of = [=](std::uint32_t packed) { return ((packed >> token_bits) - first) & row_mask; };
    ends_.assign(last - first, 0);
    std::uint32_t* const ends = ends_.data();
    std::size_t total = 0;
    pairs.for_each_chunk(group, [&](const std::uint32_t* packed, std::size_t n) {
      total += n;
      for (std::size_t i = 0; i < n; ++i) ++ends[row_of(packed[i])];
    });
    std::uint32_t sum = 0;
    for (std::uint32_t& end : ends_) end = std::exchange(sum, sum + end);
    if (seconds_.size() < total) seconds_.resize(total);
    Low* const seconds = seconds_.data();
    pairs.for_each_chunk(group, [&](const std::uint32_t* packed, std::size_t n) {
      for (std::size_t i = 0; i < n; ++i) seconds[ends[row_of(packed[i])]++] = static_cast<Low>(packed[i]);
    });
  }

  unsigned token_bits_;
  Row<std::uint32_t> row_;
  RunWriter<std::uint64_t> writer_;
  std::vector<std::uint32_t> ends_;
  std::vector<Low> seconds_;
};

template <class Low>
Run count_groups(const PairGroups& pairs, const Grouping& grouping, const NgramKeys& keys, RunSink& sink, Work& work) {
  std::vector<std::unique_ptr<GroupCounter<Low>>> counters(work.threads());
  std::vector<std::vector<Segment>> counted(grouping.groups());
  work.for_each(grouping.groups(), [&](unsigned worker, std::size_t group) {
    if (!counters[worker]) counters[worker] = std::make_unique<GroupCounter<Low>>(keys.token_bits, sink);
    counted[group] = counters[worker]->count(pairs, group, grouping.first[group], grouping.first[group + 1]);
  });
  std::vector<Segment> all;
  for (auto& segments : counted) {
    all.insert(all.end(), std::make_move_iterator(segments.begin()), std::make_move_iterator(segments.end()));
  }
  return sink.finish(std::move(all));
}

}  // namespace

Run count_partitioned(const Block& block, const NgramKeys& keys, const BlockRoom& room, Work& work) {
  const std::size_t size = block.end - block.begin;
  const std::size_t tasks = (size + task_tokens - 1) / task_tokens;
  const std::size_t groups = std::clamp<std::size_t>(size / group_pairs, 1, most_groups);
  const Grouping grouping = make_grouping(sample_masses(block, keys), groups, std::size_t{1} << (32 - keys.token_bits));

  const std::size_t writers = std::min<std::size_t>(work.threads(), tasks);
  PairGroups pairs(room.pairs, grouping, size, writers);
  std::vector<std::unique_ptr<PairSorter>> sorters(writers);
  work.for_each(tasks, [&](unsigned worker, std::size_t task) {
    if (!sorters[worker]) sorters[worker] = std::make_unique<PairSorter>(pairs, worker, grouping, keys.token_bits);
    PairSorter& sorter = *sorters[worker];
    const std::size_t begin = block.begin + task * task_tokens;
    for_each_stretch(block.documents, begin, std::min(begin + task_tokens, block.end), 2, keys.vocab_size,
                     [&](const std::uint32_t* tokens, std::size_t count) { sorter.add(tokens, count); });
    sorter.publish();
  });
  for (const auto& sorter : sorters) {
    if (sorter) sorter->finish();
  }
  const auto sink = room.storage.memory_sink();
  return keys.token_bits <= 16 ? count_groups<std::uint16_t>(pairs, grouping, keys, *sink, work)
                               : count_groups<std::uint32_t>(pairs, grouping, keys, *sink, work);
}

}  // namespace mixlaw
