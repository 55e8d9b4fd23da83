#include "mixlaw/ngram_counter.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <iterator>
#include <limits>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "mixlaw/block.hpp"
#include "mixlaw/checked_count.hpp"
#include "mixlaw/entropy.hpp"

namespace mixlaw {
namespace {

constexpr std::chrono::milliseconds turn_interval{50};
constexpr std::size_t documents_a_poll = std::size_t{1} << 16;

// Puts a run into a table of a count file; one without counts is left out.
class TableSink : public RunSink {
 public:
  TableSink(CountFileWriter& writer, TableKind kind, unsigned order) : writer_(writer), kind_(kind), order_(order) {}

  Segment keep(WideKey first_key, std::uint64_t entries, const std::uint8_t* bytes, std::size_t size) override {
    return writer_.keep(first_key, entries, bytes, size);
  }
  Run finish(std::vector<Segment> segments) override {
    if (!segments.empty()) writer_.add_table(kind_, order_, segments);
    return {};
  }

 private:
  CountFileWriter& writer_;
  TableKind kind_;
  unsigned order_;
};

// Waits until a file is on the disk.
void sync_file(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) throw FileError(errno, path);
  const int error = fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  if (error != 0) throw FileError(error, path);
}

// How many n-grams end behind history.
std::uint64_t count_ngrams(const Input& input, std::size_t n, Work& work) {
  const auto ngrams_in = [n](std::size_t tokens) { return tokens < n ? 0 : tokens - n + 1; };
  std::uint64_t total = 0;
  for (std::size_t d = 0; d < input.documents.count; ++d) {
    if (d % documents_a_poll == 0) work.poll();
    total += ngrams_in(input.end(d) - input.begin(d)) - ngrams_in(input.history(d));
  }
  return total;
}

// Longer documents are cut into pieces, each of which may be of another group.
constexpr std::size_t piece_tokens = std::size_t{1} << 16;

// The group of a stretch of tokens, by a hash of its length and of what stands at its beginning, middle and end.
unsigned group_of(const TokenArray& tokens, std::size_t begin, std::size_t end, const NgramKeys& keys) {
  constexpr std::size_t sample = 16;
  std::array<std::uint32_t, sample> copy;
  std::uint64_t hash = end - begin;
  const auto mix = [&hash](std::uint64_t word) {
    // The finaliser of SplitMix64.
    hash = (hash ^ word) + 0x9E3779B97F4A7C15u;
    hash = (hash ^ hash >> 30) * 0xBF58476D1CE4E5B9u;
    hash = (hash ^ hash >> 27) * 0x94D049BB133111EBu;
    hash ^= hash >> 31;
  };
  const std::size_t count = std::min(sample, end - begin);
  for (const std::size_t from : {begin, begin + (end - begin - count) / 2, end - count}) {
    load_tokens(tokens, from, count, keys.vocab_size, copy.data());
    for (std::size_t i = 0; i < count; ++i) mix(copy[i]);
  }
  return static_cast<unsigned>(hash % keys.groups);
}

CounterSettings checked(CounterSettings settings) {
  if (settings.order < 1 || settings.order > static_cast<std::int64_t>(max_order)) {
    throw std::invalid_argument("order must be from 1 to 5, not " + std::to_string(settings.order));
  }
  if (settings.vocab_size < 1 || settings.vocab_size > NgramCounter::max_vocab_size) {
    throw std::invalid_argument("vocab_size must be from 1 to 2147483648 (2**31), not " +
                                std::to_string(settings.vocab_size));
  }
  const auto order = static_cast<unsigned>(settings.order);
  if (settings.groups < 1 || settings.groups > static_cast<std::int64_t>(max_groups)) {
    throw std::invalid_argument("groups must be from 1 to 256, not " + std::to_string(settings.groups));
  }
  const unsigned bits = max_key_bits - group_bits_for(static_cast<unsigned>(settings.groups));
  if (order * token_bits_for(static_cast<std::uint64_t>(settings.vocab_size)) > bits) {
    const std::string groups = settings.groups == 1 ? "" : " in " + std::to_string(settings.groups) + " groups";
    throw std::invalid_argument("order " + std::to_string(order) + groups + " takes a vocab_size of at most " +
                                std::to_string(std::uint64_t{1} << (bits / order)) + ", not " +
                                std::to_string(settings.vocab_size));
  }
  if (settings.threads == 0) settings.threads = std::max(std::thread::hardware_concurrency(), 1u);
  return settings;
}

}  // namespace

// Holds the counter for one call.
class NgramCounter::Turn {
 public:
  Turn(NgramCounter& counter, Work& work) : counter_(counter) {
    const std::thread::id self = std::this_thread::get_id();
    std::unique_lock<std::mutex> lock(counter.mutex_);
    if (counter.holder_ == self) throw std::runtime_error("the counter is at work on another call of this thread");
    while (!counter.turn_ends_.wait_for(lock, turn_interval, [&] { return counter.holder_ == std::thread::id(); })) {
      lock.unlock();
      work.poll();
      lock.lock();
    }
    counter.holder_ = self;
  }
  ~Turn() {
    {
      const std::lock_guard<std::mutex> lock(counter_.mutex_);
      counter_.holder_ = std::thread::id();
    }
    counter_.turn_ends_.notify_one();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  NgramCounter& counter_;
};

// Rolls back what was staged unless it was committed.
class NgramCounter::Change {
 public:
  explicit Change(NgramCounter& counter) : counter_(counter) {}
  ~Change() {
    if (committed_) return;
    for (Store* store : counter_.stores()) store->staged.clear();
    counter_.pending_.rollback();
  }
  Change(const Change&) = delete;
  Change& operator=(const Change&) = delete;

  void commit(const Totals& totals) {
    counter_.commit_staged();
    counter_.pending_.commit();
    counter_.totals_ = totals;
    counter_.known_.reset();
    committed_ = true;
  }

 private:
  NgramCounter& counter_;
  bool committed_ = false;
};

NgramCounter::NgramCounter(const CounterSettings& settings)
    : settings_(checked(settings)),
      plan_(make_plan(settings_.memory_limit, settings_.threads, stored_keys(static_cast<unsigned>(settings_.order)))),
      storage_(plan_.run_bytes, settings_.folder, settings_.file_life),
      ngrams_(stored_keys(static_cast<unsigned>(settings_.order)), storage_) {
  for (unsigned n = 1; n < settings_.order; ++n) {
    tails_.emplace_back(stored_keys(n), storage_);
    history_.emplace_back(stored_keys(n), storage_);
  }
}

NgramKeys NgramCounter::stored_keys(unsigned n) const {
  return {n, static_cast<std::uint64_t>(settings_.vocab_size), static_cast<unsigned>(settings_.groups)};
}

NgramKeys NgramCounter::keys(std::int64_t n) const {
  if (n < 1 || n > settings_.order) {
    throw std::invalid_argument("n must be from 1 to the counter's order " + std::to_string(settings_.order) +
                                ", not " + std::to_string(n));
  }
  return {static_cast<unsigned>(n), static_cast<std::uint64_t>(settings_.vocab_size)};
}

std::vector<NgramCounter::Store*> NgramCounter::stores() {
  std::vector<Store*> all{&ngrams_};
  for (Store& store : tails_) all.push_back(&store);
  for (Store& store : history_) all.push_back(&store);
  return all;
}

std::uint64_t NgramCounter::run_bytes(const StopCheck& stop) {
  Work work(settings_.threads, stop);
  const Turn turn(*this, work);
  finish_pending(work);
  std::uint64_t bytes = 0;
  for (Store* store : stores()) {
    for (const RunPtr& run : store->runs.runs()) bytes += run->bytes;
  }
  return bytes;
}

void NgramCounter::spill(const StopCheck& stop) {
  Work work(settings_.threads, stop);
  const Turn turn(*this, work);
  finish_pending(work);
  for (Store* store : stores()) store->runs.spill(FileLife::nameless, work);
  known_.reset();
}

void NgramCounter::update(const Documents& documents, std::int64_t context, const StopCheck& stop) {
  check_documents(documents);
  const std::size_t size = documents.tokens.size;
  if (context < 0 || context >= settings_.order) {
    throw std::invalid_argument("context must be from 0 to " + std::to_string(settings_.order - 1) +
                                ", below the order, not " + std::to_string(context));
  }
  const auto history = static_cast<std::size_t>(context);
  if (history > size) {
    throw std::invalid_argument("context is " + std::to_string(context) + " but tokens hold " + std::to_string(size));
  }
  const std::uint64_t vocab_size = keys(1).vocab_size;
  Work work(settings_.threads, stop);
  const Turn turn(*this, work);
  settle(work);
  // Document borders mean nothing to single tokens.
  const std::int64_t borders[] = {0, static_cast<std::int64_t>(size)};
  const bool one = settings_.order == 1 && settings_.groups == 1;
  const Input input{one ? Documents{documents.tokens, borders, 1} : documents, history, nullptr};
  // Inputs from this size on are counted where they lie.
  const std::size_t bytes = PendingDocuments::bytes_for(size, input.documents.count);
  const bool large = bytes > plan_.pending_bytes / 2;
  if (!large && pending_.bytes() + bytes > plan_.pending_bytes) count_pending(work);
  Change change(*this);
  try {
    Totals more{};
    for (unsigned n = 1; n <= settings_.order; ++n) more[n - 1] = count_ngrams(input, n, work);
    if (large) {
      stage(input, work);
    } else {
      pending_.reserve(plan_.pending_bytes);
      pending_.add(input, vocab_size);
    }
    change.commit(sum_of_totals(more));
  } catch (const TokenError& error) {
    // Threads may have met a later one first.
    check_tokens(documents.tokens, error.position(), vocab_size);
    throw;
  }
}

// Stages all n-grams of the input.
void NgramCounter::stage(const Input& input, Work& work) {
  if (settings_.groups > 1) return stage_in_groups(input, work);
  const std::size_t size = input.documents.tokens.size;
  const std::size_t blocks = (size + plan_.block_tokens - 1) / plan_.block_tokens;
  std::size_t begin = 0;
  for (std::size_t block = 0; block < blocks; ++block) {
    // Blocks of like size.
    const std::size_t end = begin + (size - begin) / (blocks - block);
    std::vector<Run> runs(stores().size());
    count_part(input, begin, end, 0, runs, work);
    push_staged(std::move(runs), work);
    begin = end;
  }
}

// The same, group by group: of a part of the input at a time, the documents of each group are gathered and counted.
void NgramCounter::stage_in_groups(const Input& input, Work& work) {
  struct Piece {
    std::size_t begin;  // behind its history
    std::size_t end;
    std::size_t history;
  };
  const auto groups = static_cast<unsigned>(settings_.groups);
  const auto most_history = static_cast<std::size_t>(settings_.order - 1);
  std::vector<std::vector<Piece>> pieces(groups);
  std::size_t tokens = 0;
  const auto count = [&] {
    std::vector<Run> runs(stores().size());
    for (unsigned group = 0; group < groups; ++group) {
      PendingDocuments gathered;
      for (const Piece& piece : pieces[group]) {
        gathered.add(input.documents.tokens, piece.begin - piece.history, piece.end, piece.history, keys(1).vocab_size);
      }
      pieces[group].clear();
      const Input part = gathered.input();
      count_part(part, 0, part.documents.tokens.size, group, runs, work);
    }
    push_staged(std::move(runs), work);
    tokens = 0;
  };
  for (std::size_t d = 0; d < input.documents.count; ++d) {
    std::size_t begin = input.begin(d) + input.history(d);
    std::size_t history = input.history(d);
    while (begin < input.end(d)) {
      const std::size_t end = std::min(begin + piece_tokens, input.end(d));
      pieces[group_of(input.documents.tokens, begin, end, ngrams_.runs.keys())].push_back({begin, end, history});
      // Short documents take more room as pieces than as tokens.
      tokens += end - begin + history + sizeof(Piece) / sizeof(std::uint32_t);
      if (tokens >= plan_.block_tokens) count();
      history = std::min(end - input.begin(d), most_history);
      begin = end;
    }
  }
  if (tokens > 0) count();
}

// Counts what ends in [begin, end) of the input into the runs of the stores, behind what they hold.
void NgramCounter::count_part(const Input& input, std::size_t begin, std::size_t end, unsigned group,
                              std::vector<Run>& runs, Work& work) {
  if (begin == end) return;
  const BlockRoom room{storage_, plan_.task_tokens, pairs_, group};
  const Block block{input.documents, begin, end};
  // The history of a document, as a document of its own.
  PendingDocuments past;
  if (!history_.empty()) {
    const std::int64_t* const offsets = input.documents.offsets;
    const auto first =
        std::upper_bound(offsets + 1, offsets + input.documents.count + 1, static_cast<std::int64_t>(begin)) -
        (offsets + 1);
    for (auto d = static_cast<std::size_t>(first); d < input.documents.count && input.end(d) <= end; ++d) {
      past.add(input.documents.tokens, input.begin(d), input.begin(d) + input.history(d), 0, keys(1).vocab_size);
      if (input.histories == nullptr && input.end(d) >= input.context) break;
    }
  }
  const Documents history = past.input().documents;
  auto append = [&, i = std::size_t{0}](Run run) mutable { runs[i++].append(std::move(run.segments)); };
  append(count_block(block, ngrams_.runs.keys(), room, work));
  for (const Store& store : tails_) append(count_tails(block, store.runs.keys(), room, work));
  for (const Store& store : history_) {
    append(count_tails({history, 0, history.tokens.size}, store.runs.keys(), room, work));
  }
}

void NgramCounter::push_staged(std::vector<Run> runs, Work& work) {
  std::size_t i = 0;
  for (Store* store : stores()) {
    store->staged.push(std::move(runs[i++]));
    store->staged.compact(work);
  }
  relieve(work);
}

void NgramCounter::commit_staged() {
  // Only making room may throw; it changes nothing.
  std::vector<std::vector<RunPtr>> next;
  for (Store* store : stores()) {
    next.push_back(store->runs.runs());
    next.back().insert(next.back().end(), store->staged.runs().begin(), store->staged.runs().end());
  }
  std::size_t i = 0;
  for (Store* store : stores()) {
    store->runs.replace(std::move(next[i++]));
    store->staged.clear();
  }
}

// Counts the small inputs.
void NgramCounter::count_pending(Work& work) {
  if (pending_.empty()) return;
  Change change(*this);
  stage(pending_.input(), work);
  commit_staged();
  pending_.clear();
}

// The same, when there will likely be no more of them.
void NgramCounter::finish_pending(Work& work) {
  count_pending(work);
  pending_ = {};
  pairs_ = {};
}

// Keeps the committed runs few, and within the memory that they may take.
void NgramCounter::settle(Work& work) {
  for (Store* store : stores()) store->runs.compact(work);
  relieve(work);
}

void NgramCounter::relieve(Work& work) {
  while (storage_.in_memory() > storage_.most_memory()) {
    RunStack* heaviest = nullptr;
    for (Store* store : stores()) {
      for (RunStack* stack : {&store->runs, &store->staged}) {
        if (heaviest == nullptr || stack->in_memory() > heaviest->in_memory()) heaviest = stack;
      }
    }
    if (heaviest->in_memory() == 0) return;
    heaviest->spill(storage_.life(), work);
  }
}

void NgramCounter::check_alike(std::int64_t order, std::int64_t vocab_size, std::int64_t groups) const {
  if (order == settings_.order && vocab_size == settings_.vocab_size && groups == settings_.groups) return;
  const auto describe = [](const CounterSettings& settings) {
    return "order " + std::to_string(settings.order) + ", vocab_size " + std::to_string(settings.vocab_size) + " and " +
           std::to_string(settings.groups) + (settings.groups == 1 ? " group" : " groups");
  };
  CounterSettings other;
  other.order = order;
  other.vocab_size = vocab_size;
  other.groups = groups;
  throw std::invalid_argument("cannot merge counts of " + describe(other) + " into counts of " + describe(settings_));
}

void NgramCounter::merge(NgramCounter& other, const StopCheck& stop) {
  check_alike(other.settings_.order, other.settings_.vocab_size, other.settings_.groups);
  Work work(settings_.threads, stop);
  Totals more;
  std::vector<std::vector<RunPtr>> runs;
  {
    // One turn at a time, so that two counters that merge each other cannot wait for each other.
    const Turn turn(other, work);
    other.finish_pending(work);
    more = other.totals_;
    for (Store* store : other.stores()) runs.push_back(store->runs.runs());
  }
  const Turn turn(*this, work);
  settle(work);
  Change change(*this);
  const Totals totals = sum_of_totals(more);
  std::size_t i = 0;
  for (Store* store : stores()) {
    for (const RunPtr& run : runs[i]) {
      // Memory that another counter took is not within our limit.
      store->staged.push({storage_.limited() && run->in_memory && &other != this
                              ? storage_.copy(run, store->runs.keys(), work)
                              : run});
    }
    ++i;
    relieve(work);
  }
  change.commit(totals);
}

void NgramCounter::add_file(const CountFile& file, const StopCheck& stop) {
  check_alike(file.head.order, static_cast<std::int64_t>(file.head.vocab_size), file.head.groups);
  Work work(settings_.threads, stop);
  const Turn turn(*this, work);
  settle(work);
  Change change(*this);
  const Totals totals = sum_of_totals(file.head.totals);
  for (const Table& table : file.tables) store_of(table.kind, table.order).staged.push(table.run);
  change.commit(totals);
}

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

void NgramCounter::write(const std::string& path, const std::string& metadata, const StopCheck& stop) {
  Work work(settings_.threads, stop);
  const Turn turn(*this, work);
  finish_pending(work);
  const NgramKeys& longest = ngrams_.runs.keys();
  CountFileWriter writer(path, {longest.order, longest.vocab_size, totals_, metadata, longest.groups},
                         FileLife::lasting, nullptr);
  const auto nothing = std::make_shared<const Run>();
  const auto copy = [&](Store& plus, Store* minus, TableKind kind, TableKind kind_below) {
    const NgramKeys& these = plus.runs.keys();
    TableSink above(writer, kind, these.order);
    TableSink below(writer, kind_below, these.order);
    difference(plus.runs.merge(work), minus == nullptr ? nothing : minus->runs.merge(work), these, above, below, work);
  };
  copy(ngrams_, nullptr, TableKind::ngrams, TableKind::ngrams);
  for (unsigned m = 1; m < longest.order; ++m) {
    copy(tails_[m - 1], &history_[m - 1], TableKind::tails, TableKind::history);
  }
  writer.close(true);
}

NgramCounter::Saved NgramCounter::save(const StopCheck& stop) {
  Work work(settings_.threads, stop);
  const Turn turn(*this, work);
  count_pending(work);
  settle(work);
  Saved saved{totals_, {}};
  const auto add = [&](Store& store, TableKind kind) {
    store.runs.save(work);
    std::vector<std::string> files;
    for (const RunPtr& run : store.runs.runs()) {
      sync_file(run->file);
      files.push_back(run->file);
    }
    saved.tables.push_back({kind, store.runs.keys().order, std::move(files)});
  };
  add(ngrams_, TableKind::ngrams);
  for (Store& store : tails_) add(store, TableKind::tails);
  for (Store& store : history_) add(store, TableKind::history);
  return saved;
}

void NgramCounter::forget_others(const Saved& saved, const StopCheck& stop) {
  Work work(settings_.threads, stop);
  const Turn turn(*this, work);
  std::vector<std::string> files;
  for (const Saved::Table& table : saved.tables) files.insert(files.end(), table.files.begin(), table.files.end());
  storage_.keep_only(files);
}

void NgramCounter::restore(const Saved& saved, const StopCheck& stop) {
  Work work(settings_.threads, stop);
  const Turn turn(*this, work);
  Change change(*this);
  for (const Saved::Table& table : saved.tables) {
    Store& store = store_of(table.kind, table.order);
    for (const std::string& path : table.files) {
      const CountFile file = open_count_file(path);
      if (file.head.order != table.order || file.head.vocab_size != keys(1).vocab_size ||
          file.head.groups != settings_.groups || file.tables.size() != 1) {
        throw CountFileError(path, 0, "holds other counts than the checkpoint says");
      }
      storage_.enter_file(path);
      store.staged.push(file.tables[0].run);
    }
  }
  change.commit(saved.totals);
}

// Throws std::invalid_argument where there is none.
NgramCounter::Store& NgramCounter::store_of(TableKind kind, unsigned order) {
  if (kind == TableKind::ngrams && order == settings_.order) return ngrams_;
  if (kind != TableKind::ngrams && order >= 1 && order < settings_.order) {
    return (kind == TableKind::tails ? tails_ : history_)[order - 1];
  }
  throw std::invalid_argument("no table of order " + std::to_string(order) + " belongs to a counter of order " +
                              std::to_string(settings_.order));
}

NgramCounter::Totals NgramCounter::sum_of_totals(const Totals& more) const {
  Totals sum{};
  for (std::size_t i = 0; i < sum.size(); ++i) {
    if (__builtin_add_overflow(totals_[i], more[i], &sum[i])) {
      throw std::overflow_error("the counts would exceed 64 bits: " + std::to_string(totals_[i]) + " + " +
                                std::to_string(more[i]));
    }
  }
  return sum;
}

}  // namespace mixlaw
