// The bytes of a count file made by hand, from docs/count-format.md: with right checksums, whatever it holds.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "folder.hpp"
#include "mixlaw/checksum.hpp"
#include "mixlaw/little_endian.hpp"
#include "mixlaw/ngram_keys.hpp"

namespace mixlaw::test {

struct SegmentBytes {
  WideKey first_key;
  std::uint64_t entries;
  Bytes bytes;
  std::int64_t offset_error = 0;  // added to what the index says
  std::int64_t size_error = 0;
};

struct TableBytes {
  std::uint32_t kind;
  std::uint32_t order;
  std::vector<SegmentBytes> segments;
  std::uint64_t entries_error = 0;
  std::uint64_t segments_error = 0;
};

struct FileBytes {
  std::string magic = "\x89MLC\r\n\x1a\n";
  std::uint32_t version = 1;
  std::uint32_t order = 2;
  std::uint64_t vocab_size = 1000;
  std::uint64_t groups = 1;
  std::array<std::uint64_t, 5> totals{};
  std::string metadata = "{}";
  std::uint64_t metadata_size_error = 0;
  std::vector<TableBytes> tables;
  std::uint32_t tables_error = 0;
  Bytes behind_tables;
  std::int64_t index_begin_error = 0;
  std::int64_t index_size_error = 0;
  std::string end_magic = "MLCend\r\n";

  Bytes bytes() const {
    Bytes out(magic.begin(), magic.end());
    append_u32(out, version);
    append_u32(out, order);
    append_u64(out, vocab_size);
    append_u64(out, groups);
    for (const std::uint64_t total : totals) append_u64(out, total);
    append_u64(out, metadata.size() + metadata_size_error);
    out.insert(out.end(), metadata.begin(), metadata.end());
    append_u64(out, checksum(out.data(), out.size()));
    Bytes index;
    append_u32(index, static_cast<std::uint32_t>(tables.size()) + tables_error);
    for (const TableBytes& table : tables) {
      append_u32(index, table.kind);
      append_u32(index, table.order);
      std::uint64_t entries = table.entries_error;
      for (const SegmentBytes& segment : table.segments) entries += segment.entries;
      append_u64(index, entries);
      append_u64(index, table.segments.size() + table.segments_error);
      for (const SegmentBytes& segment : table.segments) {
        append_u64(index, static_cast<std::uint64_t>(segment.first_key));
        append_u64(index, static_cast<std::uint64_t>(segment.first_key >> 64));
        append_u64(index, segment.entries);
        const std::uint64_t offset = out.size() + static_cast<std::uint64_t>(segment.offset_error);
        const std::uint64_t size = segment.bytes.size() + static_cast<std::uint64_t>(segment.size_error);
        append_u64(index, offset);
        append_u64(index, size);
        out.insert(out.end(), segment.bytes.begin(), segment.bytes.end());
        const bool inside = offset <= out.size() && size <= out.size() - offset;
        append_u64(index, inside ? checksum(out.data() + offset, size) : 0);
      }
    }
    index.insert(index.end(), behind_tables.begin(), behind_tables.end());
    const std::uint64_t index_begin = out.size();
    out.insert(out.end(), index.begin(), index.end());
    append_u64(out, index_begin + static_cast<std::uint64_t>(index_begin_error));
    append_u64(out, index.size() + static_cast<std::uint64_t>(index_size_error));
    append_u64(out, checksum(index.data(), index.size()));
    out.insert(out.end(), end_magic.begin(), end_magic.end());
    return out;
  }
};

}  // namespace mixlaw::test
