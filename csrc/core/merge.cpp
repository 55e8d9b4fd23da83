#include "mixlaw/merge.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "mixlaw/checked_count.hpp"
#include "mixlaw/merge_order.hpp"
#include "mixlaw/row.hpp"

namespace mixlaw {
namespace {

constexpr std::size_t entries_at_once = 1024;
constexpr std::size_t steps_a_poll = std::size_t{1} << 16;

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
