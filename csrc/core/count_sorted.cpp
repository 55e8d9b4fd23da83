#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>

#include "mixlaw/block.hpp"
#include "mixlaw/merge.hpp"
#include "mixlaw/radix_sort.hpp"

namespace mixlaw {
namespace {

// Keys of tails that are sorted together.
constexpr std::size_t tail_keys = std::size_t{1} << 17;

template <class Key>
RunPtr encode(const std::vector<Key>& sorted, const NgramKeys& keys, const BlockRoom& room) {
  const auto sink = room.storage.memory_sink();
  RunWriter<Key> writer(*sink, static_cast<Key>(room.base(keys)));
  for (std::size_t i = 0; i < sorted.size();) {
    std::size_t end = i + 1;
    while (end < sorted.size() && sorted[end] == sorted[i]) ++end;
    writer.write(sorted[i], end - i);
    i = end;
  }
  return std::make_shared<const Run>(sink->finish(writer.finish()));
}

Run merged(const std::vector<RunPtr>& runs, const NgramKeys& keys, const RunStorage& storage, Work& work) {
  if (runs.empty()) return {};
  if (runs.size() == 1) return *runs.front();
  const auto sink = storage.memory_sink();
  return merge_runs(sources_of(runs, keys), keys, *sink, work);
}

template <class Key>
Run sort_blocks(const Block& block, const NgramKeys& keys, const BlockRoom& room, Work& work) {
  const std::size_t size = block.end - block.begin;
  const std::size_t tasks = (size + room.task_tokens - 1) / room.task_tokens;
  const Key key_mask = (Key{1} << keys.ngram_bits) - 1;
  std::vector<RunPtr> counted(tasks);
  work.for_each(tasks, [&](unsigned, std::size_t task) {
    const std::size_t begin = block.begin + task * room.task_tokens;
    const std::size_t end = std::min(begin + room.task_tokens, block.end);
    std::vector<Key> found;
    found.reserve(end - begin);
    for_each_stretch(block.documents, begin, end, keys.order, keys.vocab_size,
                     [&](const std::uint32_t* tokens, std::size_t count) {
                       Key key = 0;
                       for (unsigned i = 0; i + 1 < keys.order; ++i) key = key << keys.token_bits | tokens[i];
                       for (std::size_t i = keys.order - 1; i < count; ++i) {
                         key = (key << keys.token_bits | tokens[i]) & key_mask;
                         found.push_back(key);
                       }
                     });
    std::vector<Key> spare(found.size());
    radix_sort(found, spare, keys.ngram_bits);
    counted[task] = encode(found, keys, room);
  });
  return merged(counted, keys, room.storage, work);
}

template <class Key>
Run sort_tails(const Block& block, const NgramKeys& keys, const BlockRoom& room, Work& work) {
  const Documents& documents = block.documents;
  const std::int64_t* const last = documents.offsets + documents.count + 1;
  const std::int64_t* end = std::upper_bound(documents.offsets + 1, last, static_cast<std::int64_t>(block.begin));
  std::vector<RunPtr> counted;
  std::vector<Key> found;
  const auto close = [&] {
    if (found.empty()) return;
    std::sort(found.begin(), found.end());
    counted.push_back(encode(found, keys, room));
    found.clear();
    work.poll();
  };
  std::array<std::uint32_t, max_order> tokens;
  for (; end != last && *end <= static_cast<std::int64_t>(block.end); ++end) {
    if (*end - end[-1] < static_cast<std::int64_t>(keys.order)) continue;
    load_tokens(documents.tokens, static_cast<std::size_t>(*end) - keys.order, keys.order, keys.vocab_size,
                tokens.data());
    Key key = 0;
    for (unsigned i = 0; i < keys.order; ++i) key = key << keys.token_bits | tokens[i];
    found.push_back(key);
    if (found.size() == tail_keys) close();
  }
  close();
  return merged(counted, keys, room.storage, work);
}

}  // namespace

Run count_sorted(const Block& block, const NgramKeys& keys, const BlockRoom& room, Work& work) {
  return keys.wide() ? sort_blocks<WideKey>(block, keys, room, work)
                     : sort_blocks<std::uint64_t>(block, keys, room, work);
}

Run count_tails(const Block& block, const NgramKeys& keys, const BlockRoom& room, Work& work) {
  return keys.wide() ? sort_tails<WideKey>(block, keys, room, work)
                     : sort_tails<std::uint64_t>(block, keys, room, work);
}

}  // namespace mixlaw
