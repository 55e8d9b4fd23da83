#include <algorithm>
#include <cstdint>

#include "mixlaw/block.hpp"

namespace mixlaw {
namespace {

constexpr std::size_t task_tokens = std::size_t{1} << 18;
constexpr std::size_t emit_keys = std::size_t{1} << 12;

}  // namespace

Run count_dense(const Block& block, const NgramKeys& keys, const BlockRoom& room, Work& work) {
  const std::size_t size = block.end - block.begin;
  const std::size_t tasks = (size + task_tokens - 1) / task_tokens;
  const std::size_t places = std::size_t{1} << keys.ngram_bits;
  std::vector<std::vector<std::uint32_t>> tables(std::min<std::size_t>(work.threads(), tasks));
  work.for_each(tasks, [&](unsigned worker, std::size_t task) {
    std::vector<std::uint32_t>& table = tables[worker];
    if (table.empty()) table.resize(places);
    const std::size_t begin = block.begin + task * task_tokens;
    const std::size_t end = std::min(begin + task_tokens, block.end);
    const auto order = keys.order;
    const auto shift = keys.token_bits;
    const auto key_mask = static_cast<std::uint32_t>(places - 1);
    for_each_stretch(block.documents, begin, end, order, keys.vocab_size,
                     [&](const std::uint32_t* tokens, std::size_t count) {
                       std::uint32_t* const counts = table.data();
                       if (order == 1) {
                         for (std::size_t i = 0; i < count; ++i) ++counts[tokens[i]];
                       } else if (order == 2) {
                         for (std::size_t i = 1; i < count; ++i) ++counts[tokens[i - 1] << shift | tokens[i]];
                       } else {
                         std::uint32_t key = 0;
                         for (std::size_t i = 0; i < count; ++i) {
                           key = (key << shift | tokens[i]) & key_mask;
                           counts[key] += static_cast<std::uint32_t>(i + 1 >= order);
                         }
                       }
                     });
  });

  const auto sink = room.storage.memory_sink();
  RunWriter<std::uint64_t> writer(*sink, static_cast<std::uint64_t>(room.base(keys)));
  for (std::size_t from = 0; from < places; from += emit_keys) {
    writer.write_each(std::min(emit_keys, places - from), [&](std::size_t i) {
      std::uint64_t count = 0;
      for (const auto& table : tables) count += table.empty() ? 0 : table[from + i];
      return Entry<std::uint64_t>{from + i, count};
    });
  }
  return sink->finish(writer.finish());
}

}  // namespace mixlaw
