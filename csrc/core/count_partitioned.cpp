#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "mixlaw/block.hpp"
#include "mixlaw/merge.hpp"
#include "mixlaw/partition.hpp"
#include "mixlaw/radix_sort.hpp"
#include "mixlaw/row.hpp"

namespace mixlaw {
namespace {

constexpr std::size_t task_tokens = std::size_t{1} << 18;
// The masses of first tokens are estimated from this many stretches of this many tokens, spread over the block.
constexpr std::size_t sample_stretches = 1024;
constexpr std::size_t sample_tokens = 256;
// A group's keys should fit in the second-level cache, and the lines that gather them, too.
constexpr std::size_t group_keys = std::size_t{1} << 15;
constexpr std::size_t entries_at_once = 1024;

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

// Groups for the n-grams of a block, of which packed keys lose all bits but the low `packed_bits`.
Grouping grouping_of(const Block& block, const NgramKeys& keys, unsigned packed_bits) {
  const std::size_t groups = std::clamp<std::size_t>((block.end - block.begin) / group_keys, 1, most_groups);
  const unsigned span_bits = std::min(packed_bits - (keys.order - 1) * keys.token_bits, keys.token_bits);
  return make_grouping(sample_masses(block, keys), groups, std::size_t{1} << span_bits);
}

std::size_t tasks_of(const Block& block) { return (block.end - block.begin + task_tokens - 1) / task_tokens; }

template <class Packed>
KeyGroups<Packed> room_for(const Block& block, const Grouping& grouping, const BlockRoom& room, const Work& work) {
  const std::size_t writers = std::min<std::size_t>(work.threads(), tasks_of(block));
  return {room.pairs, grouping, block.end - block.begin, writers};
}

// Partitions the n-grams of a block. add(sorter, tokens, count) adds those of a stretch.
template <class Packed, class Add>
void partition(const Block& block, const NgramKeys& keys, const Grouping& grouping, KeyGroups<Packed>& groups,
               Work& work, Add&& add) {
  const std::size_t tasks = tasks_of(block);
  std::vector<std::unique_ptr<GroupSorter<Packed>>> sorters(work.threads());
  work.for_each(tasks, [&](unsigned worker, std::size_t task) {
    if (!sorters[worker]) sorters[worker] = std::make_unique<GroupSorter<Packed>>(groups, worker, grouping);
    GroupSorter<Packed>& sorter = *sorters[worker];
    const std::size_t begin = block.begin + task * task_tokens;
    for_each_stretch(block.documents, begin, std::min(begin + task_tokens, block.end), keys.order, keys.vocab_size,
                     [&](const std::uint32_t* tokens, std::size_t count) { add(sorter, tokens, count); });
    sorter.publish();
  });
  for (const auto& sorter : sorters) {
    if (sorter) sorter->finish();
  }
}

// Counts the pairs of groups, for one thread. Low holds a second token.
template <class Low>
class GroupCounter {
 public:
  GroupCounter(unsigned token_bits, RunSink& sink, std::uint64_t base)
      : token_bits_(token_bits), row_(token_bits), writer_(sink, base) {}

  // The rows of the first tokens [first, last).
  std::vector<Segment> count(const KeyGroups<std::uint32_t>& pairs, std::size_t group, std::uint32_t first,
                             std::uint32_t last) {
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
  void gather_rows(const KeyGroups<std::uint32_t>& pairs, std::size_t group, std::uint32_t first, std::uint32_t last) {
    const unsigned token_bits = token_bits_;
    const std::uint32_t row_mask = ~std::uint32_t{0} >> token_bits;
    const auto row_of = [=](std::uint32_t packed) { return ((packed >> token_bits) - first) & row_mask; };
    // A few rows are counted in four tables in turn: pairs of one row often follow each other, and each would have to
    // wait for the count of the one before.
    const std::size_t rows = last - first;
    const std::size_t apart = rows <= 1024 ? rows : 0;
    ends_.assign(rows + 3 * apart, 0);
    std::uint32_t* const ends = ends_.data();
    std::size_t total = 0;
    pairs.for_each_chunk(group, [&](const std::uint32_t* packed, std::size_t n) {
      total += n;
      std::size_t i = 0;
      for (; i + 4 <= n; i += 4) {
        for (std::size_t table = 0; table < 4; ++table) ++ends[table * apart + row_of(packed[i + table])];
      }
      for (; i < n; ++i) ++ends[row_of(packed[i])];
    });
    std::uint32_t sum = 0;
    for (std::size_t row = 0; row < rows; ++row) {
      std::uint32_t size = ends[row];
      if (apart > 0) size += ends[apart + row] + ends[2 * apart + row] + ends[3 * apart + row];
      ends[row] = std::exchange(sum, sum + size);
    }
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
Run count_groups(const KeyGroups<std::uint32_t>& pairs, const Grouping& grouping, const NgramKeys& keys,
                 const BlockRoom& room, Work& work) {
  const auto sink = room.storage.memory_sink();
  const auto base = static_cast<std::uint64_t>(room.base(keys));
  std::vector<std::unique_ptr<GroupCounter<Low>>> counters(work.threads());
  std::vector<std::vector<Segment>> counted(grouping.groups());
  work.for_each(grouping.groups(), [&](unsigned worker, std::size_t group) {
    if (!counters[worker]) counters[worker] = std::make_unique<GroupCounter<Low>>(keys.token_bits, *sink, base);
    counted[group] = counters[worker]->count(pairs, group, grouping.first[group], grouping.first[group + 1]);
  });
  return sink->finish(joined(std::move(counted)));
}

// Counts the n-grams of groups by sorting their keys, for one thread.
template <class Packed, class Key>
class GroupRanker {
 public:
  GroupRanker(const NgramKeys& keys, const BlockRoom& room) : keys_(keys), room_(room) {}

  // The n-grams whose first tokens are in [first, last), as runs of so many keys each that may be sorted together.
  std::vector<RunPtr> count(const KeyGroups<Packed>& groups, std::size_t group, std::uint32_t first,
                            std::uint32_t last) {
    // Less the first key of the group, keys are in order even where packing has cut them off.
    const unsigned rest_bits = (keys_.order - 1) * keys_.token_bits;
    const Key base = Key{first} << rest_bits;
    const auto packed_base = static_cast<Packed>(base);
    const unsigned bits = rest_bits + (last - first > 1 ? token_bits_for(last - first) : 0);
    std::vector<RunPtr> runs;
    groups.for_each_chunk(group, [&](const Packed* packed, std::size_t n) {
      if (found_.size() + n > room_.task_tokens) runs.push_back(rank(base, bits));
      for (std::size_t i = 0; i < n; ++i) found_.push_back(static_cast<Packed>(packed[i] - packed_base));
    });
    if (!found_.empty()) runs.push_back(rank(base, bits));
    return runs;
  }

 private:
  RunPtr rank(Key base, unsigned bits) {
    spare_.resize(std::max(spare_.size(), found_.size()));
    radix_sort(found_, spare_, bits);
    const auto sink = room_.storage.memory_sink();
    RunWriter<Key> writer(*sink, static_cast<Key>(room_.base(keys_)));
    Entry<Key> entries[entries_at_once];
    std::size_t n = 0;
    for (std::size_t i = 0; i < found_.size();) {
      const std::size_t begin = i;
      const Packed here = found_[i];
      do ++i;
      while (i < found_.size() && found_[i] == here);
      entries[n++] = {static_cast<Key>(base + here), i - begin};
      if (n == entries_at_once || i == found_.size()) {
        writer.write_each(std::exchange(n, 0), [&](std::size_t e) { return entries[e]; });
      }
    }
    found_.clear();
    return std::make_shared<const Run>(sink->finish(writer.finish()));
  }

  NgramKeys keys_;
  BlockRoom room_;
  std::vector<Packed> found_;
  std::vector<Packed> spare_;
};

template <class Packed, class Key>
Run rank_groups(const Block& block, const NgramKeys& keys, const BlockRoom& room, Work& work) {
  const Grouping grouping = grouping_of(block, keys, 8 * sizeof(Packed));
  const unsigned rest_bits = (keys.order - 1) * keys.token_bits;
  const Key key_mask = (Key{1} << keys.ngram_bits) - 1;
  auto groups = room_for<Packed>(block, grouping, room, work);
  partition<Packed>(block, keys, grouping, groups, work,
                    [&](GroupSorter<Packed>& sorter, const std::uint32_t* tokens, std::size_t count) {
                      Key key = 0;
                      for (unsigned i = 0; i + 1 < keys.order; ++i) key = key << keys.token_bits | *tokens++;
                      const unsigned token_bits = keys.token_bits;
                      sorter.add_each(count - (keys.order - 1), [=](std::size_t i) mutable {
                        key = (key << token_bits | tokens[i]) & key_mask;
                        return std::pair{static_cast<std::uint32_t>(key >> rest_bits), static_cast<Packed>(key)};
                      });
                    });
  std::vector<std::unique_ptr<GroupRanker<Packed, Key>>> rankers(work.threads());
  std::vector<std::vector<RunPtr>> counted(grouping.groups());
  work.for_each(grouping.groups(), [&](unsigned worker, std::size_t group) {
    if (!rankers[worker]) rankers[worker] = std::make_unique<GroupRanker<Packed, Key>>(keys, room);
    counted[group] = rankers[worker]->count(groups, group, grouping.first[group], grouping.first[group + 1]);
  });
  rankers.clear();
  Run run;
  for (std::vector<RunPtr>& runs : counted) {
    if (runs.size() > 1) {
      const auto sink = room.storage.memory_sink();
      run.append(merge_runs(sources_of(runs, keys), keys, *sink, work).segments);
    } else if (!runs.empty()) {
      run.append(runs.front()->segments);
    }
    runs.clear();
  }
  return run;
}

}  // namespace

Run count_partitioned(const Block& block, const NgramKeys& keys, const BlockRoom& room, Work& work) {
  if (keys.order > 2) {
    if (keys.wide()) {
      return packs_in_64_bits(keys) ? rank_groups<std::uint64_t, WideKey>(block, keys, room, work)
                                    : rank_groups<WideKey, WideKey>(block, keys, room, work);
    }
    return rank_groups<std::uint64_t, std::uint64_t>(block, keys, room, work);
  }
  const Grouping grouping = grouping_of(block, keys, 32);
  const unsigned token_bits = keys.token_bits;
  auto pairs = room_for<std::uint32_t>(block, grouping, room, work);
  partition<std::uint32_t>(block, keys, grouping, pairs, work,
                           [=](GroupSorter<std::uint32_t>& sorter, const std::uint32_t* tokens, std::size_t count) {
                             sorter.add_each(count - 1, [=](std::size_t i) {
                               return std::pair{tokens[i], tokens[i] << token_bits | tokens[i + 1]};
                             });
                           });
  return token_bits <= 16 ? count_groups<std::uint16_t>(pairs, grouping, keys, room, work)
                          : count_groups<std::uint32_t>(pairs, grouping, keys, room, work);
}

}  // namespace mixlaw
