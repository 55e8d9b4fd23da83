// NgramCounter: exact counts of n-grams.
#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "mixlaw/aligned.hpp"
#include "mixlaw/count_file.hpp"
#include "mixlaw/count_of_counts.hpp"
#include "mixlaw/count_plan.hpp"
#include "mixlaw/merge.hpp"
#include "mixlaw/ngram_keys.hpp"
#include "mixlaw/pending.hpp"
#include "mixlaw/run.hpp"
#include "mixlaw/run_stack.hpp"
#include "mixlaw/run_storage.hpp"
#include "mixlaw/tokens.hpp"
#include "mixlaw/work.hpp"

namespace mixlaw {

// In nats. Of a counter of order 1, joint and conditional are NaN.
struct Entropies {
  double shannon;
  double joint;
  double conditional;
};

// How a counter is to be.
struct CounterSettings {
  std::int64_t vocab_size = 1;
  std::int64_t order = 2;
  // Groups that documents are counted in, by a hash of their tokens, so that counts can be weighted by group.
  std::int64_t groups = 1;
  unsigned threads = 0;  // that a call may use; 0 takes as many as the machine has
  // Bytes of memory that the counter takes, beyond which runs go to files in `folder`.
  std::optional<std::uint64_t> memory_limit;
  std::string folder;
  FileLife file_life = FileLife::nameless;
};

// Counts the n-grams, n = 1 .. order, of token streams. Results depend on what was counted alone: not on threads, on
// how the input was cut, or on the order of updates.
//
// Calls from several threads take turns. Whoever waits for a turn polls its StopCheck. A StopCheck must not call the
// counter that it was given to: that throws std::runtime_error. Every call either succeeds or throws and leaves the
// counts as they were; Interrupted is thrown when the StopCheck answers yes, FileError when a file of counts cannot be
// written, CountFileError when one that was opened is damaged.
class NgramCounter {
 public:
  static constexpr std::int64_t max_vocab_size = std::int64_t{1} << max_token_bits;

  // n-grams counted, repeated ones each time; n = 1, 2, ...; 0 above the order.
  using Totals = std::array<std::uint64_t, max_order>;

  // Throws std::invalid_argument for an order or vocabulary out of range, or too small a memory limit, and as
  // kernels() does.
  explicit NgramCounter(const CounterSettings& settings);

  std::int64_t vocab_size() const { return settings_.vocab_size; }
  std::int64_t order() const { return settings_.order; }
  std::int64_t groups() const { return settings_.groups; }
  unsigned threads() const { return settings_.threads; }
  std::optional<std::uint64_t> memory_limit() const { return settings_.memory_limit; }
  DiskUse disk_use() const { return storage_.disk_use(); }

  // What the runs of all counts take, in bytes.
  std::uint64_t run_bytes(const StopCheck& stop);

  // Puts all counts into files, so that the counter takes no memory to speak of. Requires a folder.
  void spill(const StopCheck& stop);

  // Counts the n-grams inside the documents. The first `context` tokens of the array are history: they are not counted
  // themselves, but as part of n-grams that end behind them. Throws std::invalid_argument for offsets that are none
  // (check_documents) and unless 0 <= context < order and context <= tokens.size; TokenError for the first token
  // outside [0, vocab_size).
  void update(const Documents& documents, std::int64_t context, const StopCheck& stop);

  // Adds what `other` has counted, which may be this counter itself. Throws std::invalid_argument unless order and
  // vocabulary agree, std::overflow_error if a total would exceed 64 bits.
  void merge(NgramCounter& other, const StopCheck& stop);

  // Throws std::invalid_argument unless 1 <= n <= order, as all below do.
  std::uint64_t total(std::int64_t n, const StopCheck& stop);
  // How many different n-grams were counted.
  std::uint64_t distinct(std::int64_t n, const StopCheck& stop);
  // The counts of all n-grams, as they are now: the run does not change any more.
  RunPtr counts(std::int64_t n, const StopCheck& stop);
  // How often one n-gram was counted. Throws TokenError for a token outside the vocabulary.
  std::uint64_t count_of(const std::vector<std::int64_t>& ngram, const StopCheck& stop);
  CountOfCounts count_of_counts(std::int64_t n, const StopCheck& stop);
  // For every row of `weights`, count_of_counts if every document of group g had been counted weights[g] times; of
  // n-grams without their last token if `prefixes`. Throws std::invalid_argument unless rows have groups() numbers,
  // each below 2^32, and n is at least 2 for prefixes.
  std::vector<CountOfCounts> weighted_counts_of_counts(std::int64_t n, bool prefixes,
                                                       const std::vector<std::vector<std::uint64_t>>& weights,
                                                       const StopCheck& stop);

  // Entropy of the n-grams, and of their last tokens given the others, in nats: plug-in estimates. Throw
  // std::invalid_argument if no n-grams were counted.
  double entropy_of(std::int64_t n, const StopCheck& stop);
  double conditional_entropy_of(std::int64_t n, const StopCheck& stop);
  // Throws std::invalid_argument if nothing was counted, or no pairs with order 2 or more.
  Entropies entropies(const StopCheck& stop);

  // Writes all counts to a new file, whose bytes depend on what was counted and on `metadata` alone.
  void write(const std::string& path, const std::string& metadata, const StopCheck& stop);
  // Adds what a file holds that `write` made, and reads it from there as it is needed. The same exceptions as merge.
  void add_file(const CountFile& file, const StopCheck& stop);

  // Which lasting files of the folder hold all counts.
  struct Saved {
    Totals totals;
    struct Table {
      TableKind kind;
      unsigned order;
      std::vector<std::string> files;
    };
    std::vector<Table> tables;
  };
  // Puts all counts into such files, and waits until they are on the disk. Requires FileLife::lasting.
  Saved save(const StopCheck& stop);
  // Removes those that are not `saved`: call it once that stands where restore can find it.
  void forget_others(const Saved& saved, const StopCheck& stop);
  // Takes up what was saved. The same exceptions as add_file. Requires that nothing was counted yet.
  void restore(const Saved& saved, const StopCheck& stop);

  // How the keys of counts(n) are made.
  NgramKeys keys(std::int64_t n) const;

 private:
  class Turn;
  class Change;

  // Counts of n-grams of one order: what is counted, and what the present call adds.
  struct Store {
    Store(const NgramKeys& keys, RunStorage& storage) : runs(keys, storage), staged(keys, storage) {}
    RunStack runs;
    RunStack staged;
  };

  NgramKeys stored_keys(unsigned n) const;
  Totals sum_of_totals(const Totals& more) const;
  std::vector<Store*> stores();
  Store& store_of(TableKind kind, unsigned order);
  void count_pending(Work& work);
  void finish_pending(Work& work);
  void stage(const Input& input, Work& work);
  void stage_in_groups(const Input& input, Work& work);
  void count_part(const Input& input, std::size_t begin, std::size_t end, unsigned group, std::vector<Run>& runs,
                  Work& work);
  void push_staged(std::vector<Run> runs, Work& work);
  void commit_staged();
  void check_alike(std::int64_t order, std::int64_t vocab_size, std::int64_t groups) const;
  void settle(Work& work);
  void relieve(Work& work);
  // What is known of the counts of the longest n-grams without merging them again.
  struct Known {
    CountOfCounts counts;
    RunPtr prefixes;  // of an order of at least 2
  };
  const Known& known(Work& work);
  Sources sources(unsigned n, unsigned kept, Work& work);
  CountOfCounts histogram(unsigned n, Work& work);
  CountOfCounts histogram_of_prefixes(unsigned n, Work& work);
  void require_ngrams(unsigned n) const;

  CounterSettings settings_;
  CountPlan plan_;

  std::mutex mutex_;  // guards holder_ alone
  std::condition_variable turn_ends_;
  std::thread::id holder_;  // whose turn it is; everything below is that thread's alone
  RunStorage storage_;
  Totals totals_{};
  // Shorter n-grams are not counted apart: they are the beginnings of longer ones, and those that end a document
  // (tails), less those that lie in history whole (history). tails_[m - 1] has those of m tokens.
  Store ngrams_;
  std::vector<Store> tails_;
  std::vector<Store> history_;
  PendingDocuments pending_;  // small inputs that are not counted yet
  AlignedArray<std::uint32_t> pairs_;
  std::optional<Known> known_;  // once it was asked for and until more is counted
};

}  // namespace mixlaw
