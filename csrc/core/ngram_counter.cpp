#include "mixlaw/ngram_counter.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "counter_turn.hpp"
#include "mixlaw/kernels.hpp"

namespace mixlaw {
namespace {

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

NgramCounter::NgramCounter(const CounterSettings& settings)
    : settings_(checked(settings)),
      plan_(make_plan(settings_.memory_limit, settings_.threads, stored_keys(static_cast<unsigned>(settings_.order)))),
      storage_(plan_.run_bytes, settings_.folder, settings_.file_life),
      ngrams_(stored_keys(static_cast<unsigned>(settings_.order)), storage_) {
  kernels();  // an error here rather than in a count
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

}  // namespace mixlaw
