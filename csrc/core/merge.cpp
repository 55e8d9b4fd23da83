#include "mixlaw/merge.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

#include "mixlaw/checked_count.hpp"
#include "mixlaw/row.hpp"

namespace mixlaw {
namespace {

// Compressed input of one task: some milliseconds of work.
constexpr std::size_t task_bytes = std::size_t{1} << 22;
constexpr std::size_t cursor_bytes = std::size_t{1} << 18;
constexpr std::size_t entries_at_once = 1024;
constexpr std::size_t steps_a_poll = std::size_t{1} << 16;

// Keys that cut the views into ranges of about task_bytes each, none of which reaches into two groups; begins with 0
// and ends with end_key. They are multiples of 2^whole_bits.
template <class Key>
std::vector<Key> cut(const Sources& sources, const NgramKeys& keys, unsigned whole_bits) {
  std::vector<std::pair<Key, std::size_t>> starts;
  for (const RunView& view : sources.plus) {
    for (std::size_t i = view.first_segment; i < view.last_segment; ++i) {
      const Segment& segment = view.run->segments[i];
      const Key key = static_cast<Key>(static_cast<Key>(segment.first_key) - static_cast<Key>(view.base)) >> view.shift;
      starts.emplace_back(key >> whole_bits << whole_bits, segment.size);
    }
  }
  std::sort(starts.begin(), starts.end());
  // To begin a range, every cursor reads half a segment for nothing.
  const std::size_t enough = task_bytes + sources.plus.size() * cursor_bytes;
  std::vector<Key> cuts{0};
  std::size_t bytes = 0;
  for (const auto& [key, size] : starts) {
    const bool next_group = key >> keys.ngram_bits != cuts.back() >> keys.ngram_bits;
    if (next_group || (bytes >= enough && key > cuts.back())) {
      cuts.push_back(next_group ? static_cast<Key>(key >> keys.ngram_bits << keys.ngram_bits) : key);
      bytes = 0;
    }
    bytes += size;
  }
  cuts.push_back(RunCursor<Key>::end_key);
  return cuts;
}

template <class Key>
std::vector<RunCursor<Key>> cursors_at(const std::vector<RunView>& views, Key from) {
  std::vector<RunCursor<Key>> cursors;
  cursors.reserve(views.size());
  for (const RunView& view : views) cursors.emplace_back(view, from);
  return cursors;
}

// Merges the keys of [from, to), and calls use(base) for every row, or part of one, that `row` then holds and use
// empties.
template <class Key, class Use>
void for_each_row(const Sources& sources, Key from, Key to, unsigned low_bits, Row<std::uint64_t>& row, Use&& use) {
  std::vector<RunCursor<Key>> adding = cursors_at(sources.plus, from);
  std::vector<RunCursor<Key>> taking = cursors_at(sources.minus, from);
  const Key low_mask = (Key{1} << low_bits) - 1;
  for (;;) {
    Key least = RunCursor<Key>::end_key;
    for (const RunCursor<Key>& cursor : adding) least = std::min(least, cursor.key());
    for (const RunCursor<Key>& cursor : taking) least = std::min(least, cursor.key());
    if (least >= to) return;
    const Key base = least & ~low_mask;
    const Key end = std::min<Key>(base + low_mask + 1, to);
    for (RunCursor<Key>& cursor : adding) {
      for (; cursor.key() < end; cursor.next()) {
        row.add(static_cast<std::uint32_t>(cursor.key() & low_mask), cursor.count());
      }
    }
    for (RunCursor<Key>& cursor : taking) {
      for (; cursor.key() < end; cursor.next()) {
        row.subtract(static_cast<std::uint32_t>(cursor.key() & low_mask), cursor.count());
      }
    }
    use(base);
  }
}

// Cursors in the order of their keys; of equal keys, the first cursor goes first.
template <class Key>
class Tournament {
 public:
  explicit Tournament(std::vector<RunCursor<Key>> cursors) : cursors_(std::move(cursors)) {
    while (leaves_ < cursors_.size()) leaves_ *= 2;
    keys_.resize(leaves_, RunCursor<Key>::end_key);
    for (std::size_t i = 0; i < cursors_.size(); ++i) keys_[i] = cursors_[i].key();
    winners_.resize(2 * leaves_);
    for (std::size_t i = 0; i < leaves_; ++i) winners_[leaves_ + i] = static_cast<std::uint32_t>(i);
    for (std::size_t node = leaves_; node-- > 1;) play(node);
  }

  // The least key of all cursors, and which cursor stands there.
  Key key() const { return keys_[first()]; }
  std::uint32_t first() const { return winners_[1]; }
  std::uint64_t count() const { return cursors_[first()].count(); }
  void next() {
    const std::uint32_t moved = first();
    cursors_[moved].next();
    keys_[moved] = cursors_[moved].key();
    for (std::size_t node = (leaves_ + moved) / 2; node > 0; node /= 2) play(node);
  }

 private:
  void play(std::size_t node) {
    const std::uint32_t left = winners_[2 * node];
    const std::uint32_t right = winners_[2 * node + 1];
    winners_[node] = keys_[right] < keys_[left] ? right : left;
  }

  std::vector<RunCursor<Key>> cursors_;
  std::size_t leaves_ = 2;
  std::vector<Key> keys_;
  std::vector<std::uint32_t> winners_;  // of the cursors below each node; node 1 is above all
};

// Merges the keys of [from, to), and calls use(entries, n) with their counts, some at a time, in order.
template <class Key, class Use>
void for_each_entries(const Sources& sources, Key from, Key to, Use&& use) {
  std::vector<RunCursor<Key>> cursors = cursors_at(sources.plus, from);
  const auto adding = static_cast<std::uint32_t>(cursors.size());
  for (RunCursor<Key>& cursor : cursors_at(sources.minus, from)) cursors.push_back(cursor);
  Tournament<Key> tournament(std::move(cursors));
  std::vector<Entry<Key>> entries(entries_at_once);
  std::size_t n = 0;
  for (Key key = tournament.key(); key < to; key = tournament.key()) {
    std::uint64_t sum = 0;
    do {
      if (tournament.first() < adding) {
        add_count(sum, tournament.count());
      } else {
        subtract_count(sum, tournament.count());
      }
      tournament.next();
    } while (tournament.key() == key);
    entries[n] = {key, sum};
    n += static_cast<std::size_t>(sum != 0);
    if (n == entries.size()) use(entries.data(), std::exchange(n, 0));
  }
  use(entries.data(), n);
}

// A row for each thread that comes to need one.
class Rows {
 public:
  Rows(const NgramKeys& keys, const Work& work) : low_bits_(keys.low_bits), rows_(work.threads()) {}

  Row<std::uint64_t>& of(unsigned worker) {
    if (!rows_[worker]) rows_[worker] = std::make_unique<Row<std::uint64_t>>(low_bits_);
    return *rows_[worker];
  }

 private:
  unsigned low_bits_;
  std::vector<std::unique_ptr<Row<std::uint64_t>>> rows_;
};

template <class Key>
Run merge_as(const Sources& sources, const NgramKeys& keys, RunSink& sink, Work& work) {
  const std::vector<Key> cuts = cut<Key>(sources, keys, 0);
  std::vector<std::vector<Segment>> merged(cuts.size() - 1);
  Rows rows(keys, work);
  work.for_each(merged.size(), [&](unsigned worker, std::size_t task) {
    RunWriter<Key> writer(sink);
    if (keys.sparse()) {
      for_each_entries<Key>(sources, cuts[task], cuts[task + 1], [&](const Entry<Key>* entries, std::size_t n) {
        writer.write_each(n, [=](std::size_t i) { return entries[i]; });
      });
    } else {
      Row<std::uint64_t>& row = rows.of(worker);
      for_each_row<Key>(sources, cuts[task], cuts[task + 1], keys.low_bits, row,
                        [&](Key base) { row.write(writer, base); });
    }
    merged[task] = writer.finish();
  });
  return sink.finish(joined(std::move(merged)));
}

// Writes how often n-grams without their last token occur, from counts of n-grams in ascending order.
template <class Key>
class PrefixWriter {
 public:
  PrefixWriter(RunSink& sink, unsigned token_bits) : writer_(sink), token_bits_(token_bits) {}

  void add(Key key, std::uint64_t count) {
    const Key prefix = key >> token_bits_;
    if (prefix != prefix_) {
      writer_.write(prefix_, count_);
      prefix_ = prefix;
      count_ = 0;
    }
    add_count(count_, count);
  }
  std::vector<Segment> finish() {
    writer_.write(prefix_, count_);
    return writer_.finish();
  }

 private:
  RunWriter<Key> writer_;
  unsigned token_bits_;
  Key prefix_ = 0;
  std::uint64_t count_ = 0;
};

// With a sink, prefixes as well.
template <class Key>
Summary summarize_as(const Sources& sources, const NgramKeys& keys, RunSink* sink, Work& work) {
  const std::vector<Key> cuts = cut<Key>(sources, keys, sink == nullptr ? 0 : keys.token_bits);
  std::vector<CountTally> tallies(work.threads());
  std::vector<std::vector<Segment>> prefixes(cuts.size() - 1);
  Rows rows(keys, work);
  work.for_each(prefixes.size(), [&](unsigned worker, std::size_t task) {
    CountTally& tally = tallies[worker];
    std::optional<PrefixWriter<Key>> writer;
    if (sink != nullptr) writer.emplace(*sink, keys.token_bits);
    if (keys.sparse()) {
      for_each_entries<Key>(sources, cuts[task], cuts[task + 1], [&](const Entry<Key>* entries, std::size_t n) {
        for (std::size_t i = 0; i < n; ++i) {
          tally.add(entries[i].count);
          if (writer) writer->add(entries[i].key, entries[i].count);
        }
      });
    } else {
      Row<std::uint64_t>& row = rows.of(worker);
      for_each_row<Key>(sources, cuts[task], cuts[task + 1], keys.low_bits, row, [&](Key base) {
        std::uint64_t sum = 0;
        row.drain([&](std::uint64_t count) {
          tally.add(count);
          if (writer) add_count(sum, count);
        });
        if (writer) writer->add(base, sum);
      });
    }
    if (writer) prefixes[task] = writer->finish();
  });
  Summary summary;
  summary.counts = count_of_counts(tallies);
  if (sink != nullptr) summary.prefixes = sink->finish(joined(std::move(prefixes)));
  return summary;
}

template <class Key>
Difference difference_as(const RunPtr& a, const RunPtr& b, const NgramKeys& keys, RunSink& above, RunSink& below,
                         Work& work) {
  RunCursor<Key> in_a(whole(a), 0);
  RunCursor<Key> in_b(whole(b), 0);
  RunWriter<Key> to_above(above);
  RunWriter<Key> to_below(below);
  std::vector<std::vector<Segment>> all_above;
  std::vector<std::vector<Segment>> all_below;
  Key group = 0;
  for (std::size_t steps = 0;; ++steps) {
    if (steps % steps_a_poll == 0) work.poll();
    const Key key = std::min(in_a.key(), in_b.key());
    if (key >> keys.ngram_bits != group) {
      all_above.push_back(to_above.finish());
      all_below.push_back(to_below.finish());
      group = key >> keys.ngram_bits;
    }
    if (key == RunCursor<Key>::end_key) break;
    const std::uint64_t of_a = in_a.key() == key ? in_a.count() : 0;
    const std::uint64_t of_b = in_b.key() == key ? in_b.count() : 0;
    to_above.write(key, of_a - std::min(of_a, of_b));
    to_below.write(key, of_b - std::min(of_a, of_b));
    if (in_a.key() == key) in_a.next();
    if (in_b.key() == key) in_b.next();
  }
  return {above.finish(joined(std::move(all_above))), below.finish(joined(std::move(all_below)))};
}

// Counts of one n-gram by group.
class GroupCounts {
 public:
  explicit GroupCounts(std::size_t groups) : counts_(groups) { present_.reserve(2 * groups); }

  // The same group may come several times, and what is taken away may make its count 0 in between.
  void add(unsigned group, std::uint64_t count) {
    if (counts_[group] == 0) present_.push_back(group);
    add_count(counts_[group], count);
  }
  void subtract(unsigned group, std::uint64_t count) { subtract_count(counts_[group], count); }
  // Calls use(groups, n) with those whose count is not 0, and empties it.
  template <class Use>
  void drain(Use&& use) {
    std::size_t n = 0;
    for (const unsigned group : present_) {
      if (counts_[group] == 0 || std::find(present_.begin(), present_.begin() + static_cast<std::ptrdiff_t>(n),
                                           group) != present_.begin() + static_cast<std::ptrdiff_t>(n)) {
        continue;
      }
      present_[n++] = group;
    }
    use(present_.data(), n);
    for (const unsigned group : present_) counts_[group] = 0;
    present_.clear();
  }
  std::uint64_t operator[](unsigned group) const { return counts_[group]; }

 private:
  std::vector<std::uint64_t> counts_;
  std::vector<unsigned> present_;
};

// The tallies of one thread.
struct WeightedTallies {
  WeightedTallies(std::size_t replicates, std::size_t groups) : of_replicate(replicates), of_group(groups) {}

  std::vector<CountTally> of_replicate;  // of n-grams that several groups have
  std::vector<CountTally> of_group;      // of those that this group alone has: all replicates multiply them alike
};

template <class Key>
std::vector<CountOfCounts> weighted_as(const Sources& sources, const NgramKeys& keys,
                                       const std::vector<std::vector<std::uint64_t>>& weights, Work& work) {
  const std::size_t replicates = weights.size();
  const std::size_t groups = weights.front().size();
  // Group by group, the weights of all replicates.
  std::vector<std::uint64_t> by_group(groups * replicates);
  for (std::size_t r = 0; r < replicates; ++r) {
    for (std::size_t g = 0; g < groups; ++g) by_group[g * replicates + r] = weights[r][g];
  }
  const std::uint64_t most_weight = *std::max_element(by_group.begin(), by_group.end());
  const std::vector<Key> cuts = cut<Key>(sources, keys, 0);
  std::vector<std::unique_ptr<WeightedTallies>> tallies(work.threads());
  work.for_each(cuts.size() - 1, [&](unsigned worker, std::size_t task) {
    if (!tallies[worker]) tallies[worker] = std::make_unique<WeightedTallies>(replicates, groups);
    WeightedTallies& here = *tallies[worker];
    std::vector<RunCursor<Key>> cursors = cursors_at(sources.plus, cuts[task]);
    const std::size_t adding = cursors.size();
    for (RunCursor<Key>& cursor : cursors_at(sources.minus, cuts[task])) cursors.push_back(cursor);
    Tournament<Key> tournament(std::move(cursors));
    GroupCounts counts(groups);
    std::vector<std::uint64_t> sums(replicates);
    for (Key key = tournament.key(); key < cuts[task + 1]; key = tournament.key()) {
      do {
        const std::uint32_t from = tournament.first();
        const std::uint64_t count = tournament.count();
        if (from < adding) {
          counts.add(sources.plus[from].group, count);
        } else {
          counts.subtract(sources.minus[from - adding].group, count);
        }
        tournament.next();
      } while (tournament.key() == key);
      counts.drain([&](const unsigned* present, std::size_t n) {
        std::uint64_t of_all = 0;
        for (std::size_t i = 0; i < n; ++i) add_count(of_all, counts[present[i]]);
        if (__builtin_mul_overflow(of_all, most_weight, &of_all)) {
          throw std::overflow_error("an n-gram is counted too often for such weights");
        }
        if (n == 1) {
          here.of_group[present[0]].add(counts[present[0]]);
          return;
        }
        std::fill(sums.begin(), sums.end(), 0);
        for (std::size_t i = 0; i < n; ++i) {
          const std::uint64_t count = counts[present[i]];
          const std::uint64_t* const weight = by_group.data() + present[i] * replicates;
          for (std::size_t r = 0; r < replicates; ++r) sums[r] += weight[r] * count;
        }
        for (std::size_t r = 0; r < replicates; ++r) here.of_replicate[r].add(sums[r]);
      });
    }
  });
  std::vector<CountOfCounts> result;
  for (std::size_t r = 0; r < replicates; ++r) {
    std::vector<CountTally> all;
    for (const auto& of_thread : tallies) {
      if (!of_thread) continue;
      all.push_back(std::move(of_thread->of_replicate[r]));
      for (std::size_t g = 0; g < groups; ++g) {
        if (weights[r][g] > 0) all.push_back(of_thread->of_group[g].times(weights[r][g]));
      }
    }
    result.push_back(count_of_counts(all));
  }
  return result;
}

// Adds the groups of runs as views of their own.
void add_views(std::vector<RunView>& views, const std::vector<RunPtr>& runs, const NgramKeys& keys, unsigned longer) {
  for (const RunPtr& run : runs) {
    for (std::size_t first = 0; first < run->segments.size();) {
      const WideKey group = run->segments[first].first_key >> keys.ngram_bits;
      std::size_t last = first + 1;
      while (last < run->segments.size() && run->segments[last].first_key >> keys.ngram_bits == group) ++last;
      views.push_back(
          {run, first, last, group << keys.ngram_bits, longer * keys.token_bits, static_cast<unsigned>(group)});
      first = last;
    }
  }
}

}  // namespace

void Sources::add(const std::vector<RunPtr>& runs, const NgramKeys& keys, unsigned longer) {
  add_views(plus, runs, keys, longer);
  wide = wide || keys.wide();
}

void Sources::subtract(const std::vector<RunPtr>& runs, const NgramKeys& keys, unsigned longer) {
  add_views(minus, runs, keys, longer);
  wide = wide || keys.wide();
}

Sources sources_of(const std::vector<RunPtr>& runs, const NgramKeys& keys) {
  Sources sources;
  for (const RunPtr& run : runs) sources.plus.push_back(whole(run));
  sources.wide = keys.wide();
  return sources;
}

Run merge_runs(const Sources& sources, const NgramKeys& keys, RunSink& sink, Work& work) {
  return sources.wide ? merge_as<WideKey>(sources, keys, sink, work)
                      : merge_as<std::uint64_t>(sources, keys, sink, work);
}

CountOfCounts tally(const Sources& sources, const NgramKeys& keys, Work& work) {
  return sources.wide ? summarize_as<WideKey>(sources, keys, nullptr, work).counts
                      : summarize_as<std::uint64_t>(sources, keys, nullptr, work).counts;
}

std::vector<CountOfCounts> weighted_tallies(const Sources& sources, const NgramKeys& keys,
                                            const std::vector<std::vector<std::uint64_t>>& weights, Work& work) {
  if (weights.empty()) return {};
  return sources.wide ? weighted_as<WideKey>(sources, keys, weights, work)
                      : weighted_as<std::uint64_t>(sources, keys, weights, work);
}

Summary summarize(const Sources& sources, const NgramKeys& keys, RunSink& prefix_sink, Work& work) {
  return sources.wide ? summarize_as<WideKey>(sources, keys, &prefix_sink, work)
                      : summarize_as<std::uint64_t>(sources, keys, &prefix_sink, work);
}

Difference difference(const RunPtr& a, const RunPtr& b, const NgramKeys& keys, RunSink& above, RunSink& below,
                      Work& work) {
  return keys.wide() ? difference_as<WideKey>(a, b, keys, above, below, work)
                     : difference_as<std::uint64_t>(a, b, keys, above, below, work);
}

}  // namespace mixlaw
