// NgramCounter: what can be asked of the counts.
#include <limits>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "counter_turn.hpp"
#include "mixlaw/checked_count.hpp"
#include "mixlaw/entropy.hpp"
#include "mixlaw/ngram_counter.hpp"

namespace mixlaw {

std::uint64_t NgramCounter::total(std::int64_t n, const StopCheck& stop) {
  keys(n);
  Work work(settings_.threads, stop);
  const Turn turn(*this, work);
  return totals_[static_cast<std::size_t>(n - 1)];
}

// The n-grams without all but their first `kept` tokens: views of everything that holds such.
Sources NgramCounter::sources(unsigned n, unsigned kept, Work& work) {
  Sources found;
  const auto order = static_cast<unsigned>(settings_.order);
  if (kept == order) {
    found.add(ngrams_.runs.runs(), ngrams_.runs.keys());
    return found;
  }
  found.add({known(work).prefixes}, stored_keys(order - 1), order - 1 - kept);
  for (unsigned m = n; m < order; ++m) {
    found.add(tails_[m - 1].runs.runs(), stored_keys(m), m - kept);
    found.subtract(history_[m - 1].runs.runs(), stored_keys(m), m - kept);
  }
  return found;
}

const NgramCounter::Known& NgramCounter::known(Work& work) {
  finish_pending(work);
  if (known_) return *known_;
  const NgramKeys& longest = ngrams_.runs.keys();
  Known found;
  if (longest.order > 1) {
    // With groups there are as many views as runs times groups: of one run they are quicker to merge.
    if (longest.groups > 1) ngrams_.runs.merge(work);
    std::uint64_t bytes = 0;
    for (const RunPtr& run : ngrams_.runs.runs()) bytes += run->bytes;
    const auto sink = storage_.sink(bytes, stored_keys(longest.order - 1), FileLife::nameless);
    Summary summary = summarize(sources_of(ngrams_.runs.runs(), longest), longest, *sink, work);
    found.counts = std::move(summary.counts);
    found.prefixes = std::make_shared<const Run>(std::move(summary.prefixes));
  }
  if (longest.order == 1 || longest.groups > 1) {
    found.counts = tally(sources(longest.order, longest.order, work), longest.ungrouped(), work);
  }
  known_ = std::move(found);
  return *known_;
}

RunPtr NgramCounter::counts(std::int64_t n, const StopCheck& stop) {
  const NgramKeys wanted = keys(n);
  Work work(settings_.threads, stop);
  const Turn turn(*this, work);
  finish_pending(work);
  if (n == settings_.order && settings_.groups == 1) return ngrams_.runs.merge(work);
  const Sources found = sources(wanted.order, wanted.order, work);
  std::uint64_t bytes = 0;
  for (const RunView& view : found.plus) bytes += view.run->bytes;
  const auto sink = storage_.sink(bytes, wanted, FileLife::nameless);
  return std::make_shared<const Run>(merge_runs(found, wanted, *sink, work));
}

std::uint64_t NgramCounter::count_of(const std::vector<std::int64_t>& ngram, const StopCheck& stop) {
  const NgramKeys wanted = keys(static_cast<std::int64_t>(ngram.size()));
  std::vector<std::uint32_t> tokens(ngram.size());
  load_tokens({ngram.data(), ngram.size(), TokenType::i64}, 0, ngram.size(), wanted.vocab_size, tokens.data());
  WideKey key = 0;
  for (const std::uint32_t token : tokens) key = key << wanted.token_bits | token;
  Work work(settings_.threads, stop);
  const Turn turn(*this, work);
  finish_pending(work);
  const auto sum = [key](const std::vector<RunView>& views) {
    std::uint64_t count = 0;
    for (const RunView& view : views) {
      for (RunCursor<WideKey> cursor(view, key); cursor.key() == key; cursor.next()) add_count(count, cursor.count());
    }
    return count;
  };
  const Sources found = sources(wanted.order, wanted.order, work);
  std::uint64_t count = sum(found.plus);
  subtract_count(count, sum(found.minus));
  return count;
}

std::uint64_t NgramCounter::distinct(std::int64_t n, const StopCheck& stop) {
  const CountOfCounts found = count_of_counts(n, stop);
  return std::accumulate(found.how_many.begin(), found.how_many.end(), std::uint64_t{0});
}

CountOfCounts NgramCounter::count_of_counts(std::int64_t n, const StopCheck& stop) {
  const NgramKeys wanted = keys(n);
  Work work(settings_.threads, stop);
  const Turn turn(*this, work);
  return histogram(wanted.order, work);
}

CountOfCounts NgramCounter::histogram(unsigned n, Work& work) {
  const Known& longest = known(work);
  return n == settings_.order ? longest.counts : tally(sources(n, n, work), keys(n), work);
}

// Of n-grams without their last token. Requires n of at least 2.
CountOfCounts NgramCounter::histogram_of_prefixes(unsigned n, Work& work) {
  return tally(sources(n, n - 1, work), keys(n - 1), work);
}

std::vector<CountOfCounts> NgramCounter::weighted_counts_of_counts(
    std::int64_t n, bool prefixes, const std::vector<std::vector<std::uint64_t>>& weights, const StopCheck& stop) {
  const NgramKeys wanted = keys(n);
  if (prefixes && n < 2) throw std::invalid_argument("prefixes are of n-grams from n = 2 on, not " + std::to_string(n));
  for (const auto& row : weights) {
    if (row.size() != static_cast<std::size_t>(settings_.groups)) {
      throw std::invalid_argument("weights have " + std::to_string(row.size()) + " numbers a row, but there are " +
                                  std::to_string(settings_.groups) + " groups");
    }
    for (const std::uint64_t weight : row) {
      if (weight >> 32 != 0)
        throw std::invalid_argument("a weight is " + std::to_string(weight) + ", above 4294967295");
    }
  }
  Work work(settings_.threads, stop);
  const Turn turn(*this, work);
  finish_pending(work);
  for (Store* store : stores()) store->runs.merge(work);
  const unsigned kept = wanted.order - (prefixes ? 1 : 0);
  return weighted_tallies(sources(wanted.order, kept, work), keys(kept), weights, work);
}

void NgramCounter::require_ngrams(unsigned n) const {
  if (totals_[0] == 0) throw std::invalid_argument("no tokens were counted, so there is no entropy");
  if (totals_[n - 1] > 0) return;
  if (n == 2) throw std::invalid_argument("no pairs were counted, since every document holds one token: use order=1");
  throw std::invalid_argument("no " + std::to_string(n) + "-grams were counted, since every document is shorter");
}

double NgramCounter::entropy_of(std::int64_t n, const StopCheck& stop) {
  const NgramKeys wanted = keys(n);
  Work work(settings_.threads, stop);
  const Turn turn(*this, work);
  require_ngrams(wanted.order);
  return static_cast<double>(entropy(histogram(wanted.order, work)));
}

double NgramCounter::conditional_entropy_of(std::int64_t n, const StopCheck& stop) {
  const NgramKeys wanted = keys(n);
  Work work(settings_.threads, stop);
  const Turn turn(*this, work);
  require_ngrams(wanted.order);
  const DoubleDouble joint = entropy(histogram(wanted.order, work));
  if (n == 1) return static_cast<double>(joint);
  return static_cast<double>(joint - entropy(histogram_of_prefixes(wanted.order, work)));
}

Entropies NgramCounter::entropies(const StopCheck& stop) {
  Work work(settings_.threads, stop);
  const Turn turn(*this, work);
  require_ngrams(1);
  const double shannon = static_cast<double>(entropy(histogram(1, work)));
  if (settings_.order == 1) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    return {shannon, nan, nan};
  }
  require_ngrams(2);
  const DoubleDouble joint = entropy(histogram(2, work));
  const DoubleDouble of_firsts = entropy(histogram_of_prefixes(2, work));
  return {shannon, static_cast<double>(joint), static_cast<double>(joint - of_firsts)};
}

}  // namespace mixlaw
