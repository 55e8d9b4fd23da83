// NgramCounter: counting.
#include <algorithm>
#include <utility>

#include "counter_turn.hpp"
#include "mixlaw/block.hpp"
#include "mixlaw/document_groups.hpp"
#include "mixlaw/ngram_counter.hpp"

namespace mixlaw {
namespace {

constexpr std::size_t documents_a_poll = std::size_t{1} << 16;

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

}  // namespace

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
  const auto groups = static_cast<unsigned>(settings_.groups);
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
  for_each_piece(input, static_cast<std::size_t>(settings_.order - 1), [&](const Piece& piece) {
    pieces[group_of(input.documents.tokens, piece, ngrams_.runs.keys())].push_back(piece);
    // Short documents take more room as pieces than as tokens.
    tokens += piece.end - piece.begin + piece.history + sizeof(Piece) / sizeof(std::uint32_t);
    if (tokens >= plan_.block_tokens) count();
  });
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

}  // namespace mixlaw
