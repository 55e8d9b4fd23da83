#include <algorithm>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <unordered_map>
#include <utility>

#include "mixlaw/aligned.hpp"
#include "mixlaw/checked_count.hpp"
#include "mixlaw/kernels.hpp"
#include "mixlaw/merge.hpp"
#include "mixlaw/merge_order.hpp"

namespace mixlaw {
namespace {

using Weights = std::vector<std::vector<std::uint64_t>>;

// So many n-grams of a row are looked at together that they have no more parts than this, and these stay in the cache.
constexpr std::size_t most_parts = std::size_t{1} << 16;
// Whether this pays is looked at every so many times.
constexpr std::size_t rows_a_look = 256;

// What one view holds of an n-gram.
struct Part {
  std::uint64_t count;
  std::uint32_t group;
  bool taken;  // away, rather than added
};

// Views in the order of their groups; those that are taken away stand behind the others of their group.
struct OrderedViews {
  explicit OrderedViews(const Sources& sources) {
    std::vector<std::pair<RunView, bool>> all;
    for (const RunView& view : sources.plus) all.emplace_back(view, false);
    for (const RunView& view : sources.minus) all.emplace_back(view, true);
    std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
      return std::pair{a.first.group, a.second} < std::pair{b.first.group, b.second};
    });
    for (auto& [view, taken] : all) {
      parts.push_back({0, view.group, taken});
      views.push_back(std::move(view));
    }
  }

  std::vector<RunView> views;
  std::vector<Part> parts;  // without their counts
};

// Gathers the parts of each n-gram, for one thread.
template <class Key>
class NgramParts {
 public:
  NgramParts(const OrderedViews& views, const NgramKeys& keys) : views_(views), sparse_(keys.sparse()) {
    if (sparse_) return;
    while (low_bits_ < keys.low_bits && views.views.size() << (low_bits_ + 1) <= most_parts) ++low_bits_;
    starts_.resize(std::size_t{1} << low_bits_);
  }

  // Calls use(parts, n) for every n-gram of [from, to), in no order, with its parts in the order of the views.
  template <class Use>
  void for_each(Key from, Key to, Use&& use) {
    std::vector<RunCursor<Key>> cursors = cursors_at(views_.views, from);
    if (!sparse_) merge_rows(cursors, to, use);
    merge(Tournament<Key>(std::move(cursors)), to, use);
  }

 private:
  Part part(std::size_t view, std::uint64_t count) const {
    Part part = views_.parts[view];
    part.count = count;
    return part;
  }

  template <class Use>
  void merge(Tournament<Key> tournament, Key to, Use&& use) {
    for (Key key = tournament.key(); key < to; key = tournament.key()) {
      sorted_.clear();
      do {
        // A view of longer n-grams has several entries of the same beginning, side by side.
        const std::uint32_t view = tournament.first();
        std::uint64_t count = 0;
        do {
          add_count(count, tournament.count());
          tournament.next();
        } while (tournament.first() == view && tournament.key() == key);
        sorted_.push_back(part(view, count));
      } while (tournament.key() == key);
      use(sorted_.data(), sorted_.size());
    }
  }

  // Sorts the parts of some n-grams at a time by a count of each n-gram's parts. Stops where there are so few that
  // looking at all cursors takes longer.
  template <class Use>
  void merge_rows(std::vector<RunCursor<Key>>& cursors, Key to, Use&& use) {
    const Key low_mask = (Key{1} << low_bits_) - 1;
    std::uint32_t* const starts = starts_.data();
    std::size_t parts = 0;
    for (std::size_t rows = 1;; ++rows) {
      if (rows % rows_a_look == 0 && std::exchange(parts, 0) < rows_a_look * cursors.size() / 8) return;
      Key least = RunCursor<Key>::end_key;
      for (const RunCursor<Key>& cursor : cursors) least = std::min(least, cursor.key());
      if (least >= to) return;
      const Key end = std::min<Key>((least | low_mask) + 1, to);
      parts_.clear();
      lows_.clear();
      touched_.clear();
      for (std::size_t view = 0; view < cursors.size(); ++view) {
        RunCursor<Key>& cursor = cursors[view];
        for (Key key = cursor.key(); key < end; key = cursor.key()) {
          std::uint64_t count = cursor.count();
          for (cursor.next(); cursor.key() == key; cursor.next()) add_count(count, cursor.count());
          const auto low = static_cast<std::uint32_t>(key & low_mask);
          lows_.push_back(low);
          parts_.push_back(part(view, count));
          if (starts[low]++ == 0) touched_.push_back(low);
        }
      }
      parts += parts_.size();
      std::uint32_t sum = 0;
      for (const std::uint32_t low : touched_) starts[low] = std::exchange(sum, sum + starts[low]);
      sorted_.resize(parts_.size());
      for (std::size_t i = 0; i < parts_.size(); ++i) sorted_[starts[lows_[i]]++] = parts_[i];
      std::uint32_t begin = 0;
      for (const std::uint32_t low : touched_) {
        const std::uint32_t behind = std::exchange(starts[low], 0);
        use(sorted_.data() + begin, behind - begin);
        begin = behind;
      }
    }
  }

  const OrderedViews& views_;
  bool sparse_;
  unsigned low_bits_ = 0;
  std::vector<Part> sorted_;
  // The n-grams that are looked at, by their low bits: the parts, whose they are, and where those of each n-gram begin.
  std::vector<Part> parts_;
  std::vector<std::uint32_t> lows_;
  std::vector<std::uint32_t> starts_;
  std::vector<std::uint32_t> touched_;
};

// An n-gram's counts by group, in the order of the groups.
struct GroupCounts {
  std::size_t n = 0;  // groups that have counts
  std::uint32_t groups[max_groups];
  std::uint64_t counts[max_groups];

  // Throws as add_count and subtract_count do.
  void sum(const Part* parts, std::size_t size) {
    n = 0;
    for (std::size_t i = 0; i < size;) {
      const std::uint32_t group = parts[i].group;
      std::uint64_t count = 0;
      for (; i < size && parts[i].group == group; ++i) {
        parts[i].taken ? subtract_count(count, parts[i].count) : add_count(count, parts[i].count);
      }
      groups[n] = group;
      counts[n] = count;
      n += static_cast<std::size_t>(count > 0);
    }
  }
};

// How often each count occurs in several columns: small counts have a place in a table, side by side for the columns.
class Columns {
 public:
  explicit Columns(std::size_t columns)
      : columns_(columns),
        small_(std::clamp<std::uint64_t>(most_places / columns, 16, 4096)),
        table_(small_ * columns),
        large_(columns) {}

  // Counts below this may be added by add_small.
  std::uint64_t small() const { return small_; }
  void add_small(std::uint64_t count, std::size_t column) { ++table_[count * columns_ + column]; }
  void add(std::uint64_t count, std::size_t column) {
    count < small_ ? add_small(count, column) : void(++large_[column][count]);
  }

  // Adds a column to a tally, with every count so many times as large.
  void add_to(CountTally& tally, std::size_t column, std::uint64_t factor) const {
    for (std::uint64_t count = 1; count < small_; ++count) {
      const std::uint64_t how_many = table_[count * columns_ + column];
      if (how_many > 0) tally.add(count * factor, how_many);
    }
    for (const auto& [count, how_many] : large_[column]) tally.add(count * factor, how_many);
  }

 private:
  static constexpr std::size_t most_places = std::size_t{1} << 18;

  std::size_t columns_;
  std::uint64_t small_;
  std::vector<std::uint64_t> table_;
  std::vector<std::unordered_map<std::uint64_t, std::uint64_t>> large_;
};

// How often each count occurs in replicates, each of which weights the groups in its own way. For one thread.
class ReplicateTallies {
 public:
  explicit ReplicateTallies(const Weights& weights)
      : weights_(weights),
        stride_((weights.size() + sum_lanes - 1) / sum_lanes * sum_lanes),
        by_group_(weights.front().size() * stride_),
        sums_(stride_),
        alone_(weights.front().size()),
        several_(stride_) {
    for (const auto& row : weights) heaviest_ = std::max(heaviest_, *std::max_element(row.begin(), row.end()));
    std::fill_n(by_group_.data(), weights.front().size() * stride_, std::uint16_t{0});
    for (std::size_t r = 0; r < weights.size(); ++r) {
      for (std::size_t g = 0; g < weights[r].size(); ++g) {
        by_group_.data()[g * stride_ + r] = static_cast<std::uint16_t>(std::min(weights[r][g], most_narrow));
      }
    }
  }

  void add(const GroupCounts& ngram) {
    std::uint64_t total = 0;
    std::uint16_t counts[max_groups];
    for (std::size_t i = 0; i < ngram.n; ++i) {
      add_count(total, ngram.counts[i]);
      counts[i] = static_cast<std::uint16_t>(ngram.counts[i]);
    }
    std::uint64_t most = 0;
    if (__builtin_mul_overflow(total, heaviest_, &most)) {
      throw std::overflow_error("an n-gram is counted too often for such weights");
    }
    if (ngram.n == 0) return;
    if (ngram.n == 1) {
      alone_.add(total, ngram.groups[0]);
      return;
    }
    const std::size_t replicates = weights_.size();
    if (std::max(total, most) <= most_narrow) {
      std::uint16_t* const sums = sums_.data();
      kernels().weighted_sums(by_group_.data(), stride_, ngram.groups, counts, ngram.n, sums);
      if (most < several_.small()) {
        for (std::size_t r = 0; r < replicates; ++r) several_.add_small(sums[r], r);
      } else {
        for (std::size_t r = 0; r < replicates; ++r) several_.add(sums[r], r);
      }
      return;
    }
    for (std::size_t r = 0; r < replicates; ++r) {
      std::uint64_t sum = 0;
      for (std::size_t i = 0; i < ngram.n; ++i) sum += weights_[r][ngram.groups[i]] * ngram.counts[i];
      several_.add(sum, r);
    }
  }

  void add_to(CountTally& tally, std::size_t replicate) const {
    several_.add_to(tally, replicate, 1);
    for (std::size_t g = 0; g < weights_[replicate].size(); ++g) {
      if (weights_[replicate][g] > 0) alone_.add_to(tally, g, weights_[replicate][g]);
    }
  }

 private:
  static constexpr std::uint64_t most_narrow = 0xFFFF;

  const Weights& weights_;
  std::size_t stride_;  // from the weights of one group to those of the next
  std::uint64_t heaviest_ = 0;
  AlignedArray<std::uint16_t> by_group_;
  AlignedArray<std::uint16_t> sums_;
  Columns alone_;    // n-grams that one group alone has, by group: all replicates multiply them alike
  Columns several_;  // the others, by replicate
};

template <class Key>
std::vector<CountOfCounts> weighted_as(const Sources& sources, const NgramKeys& keys, const Weights& weights,
                                       Work& work) {
  struct Worker {
    Worker(const OrderedViews& views, const NgramKeys& keys_, const Weights& weights_)
        : parts(views, keys_), tallies(weights_) {}
    NgramParts<Key> parts;
    GroupCounts ngram;
    ReplicateTallies tallies;
  };
  const OrderedViews views(sources);
  const std::vector<Key> cuts = cut<Key>(sources, keys, 0);
  std::vector<std::unique_ptr<Worker>> workers(work.threads());
  work.for_each(cuts.size() - 1, [&](unsigned number, std::size_t task) {
    if (!workers[number]) workers[number] = std::make_unique<Worker>(views, keys, weights);
    Worker& worker = *workers[number];
    worker.parts.for_each(cuts[task], cuts[task + 1], [&](const Part* parts, std::size_t n) {
      worker.ngram.sum(parts, n);
      worker.tallies.add(worker.ngram);
    });
  });
  std::vector<CountOfCounts> result;
  for (std::size_t r = 0; r < weights.size(); ++r) {
    std::vector<CountTally> tally(1);
    for (const auto& worker : workers) {
      if (worker) worker->tallies.add_to(tally[0], r);
    }
    result.push_back(count_of_counts(tally));
  }
  return result;
}

}  // namespace

std::vector<CountOfCounts> weighted_tallies(const Sources& sources, const NgramKeys& keys, const Weights& weights,
                                            Work& work) {
  if (weights.empty()) return {};
  return sources.wide ? weighted_as<WideKey>(sources, keys, weights, work)
                      : weighted_as<std::uint64_t>(sources, keys, weights, work);
}

}  // namespace mixlaw
