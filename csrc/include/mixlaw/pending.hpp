// Documents that wait to be counted together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "mixlaw/tokens.hpp"

namespace mixlaw {

// Additions are staged, and then committed or rolled back.
class PendingDocuments {
 public:
  // Adds the documents of `documents` within [begin, end), cut there, without empty ones. Throws TokenError for the
  // first token outside the vocabulary.
  void add(const Documents& documents, std::size_t begin, std::size_t end, std::uint64_t vocab_size);
  void commit() noexcept;
  void rollback() noexcept;
  void clear();

  bool empty() const { return tokens_.empty(); }
  Documents documents() const;
  std::size_t bytes() const { return bytes_for(tokens_.size(), borders_.size()); }
  // What so many tokens and borders take.
  static std::size_t bytes_for(std::size_t tokens, std::size_t borders);
  // Takes room for so many bytes at once, since growing step by step would take up to three times as much.
  void reserve(std::size_t bytes);

 private:
  std::vector<std::uint32_t> tokens_;
  std::vector<std::int64_t> borders_{0};
  std::size_t committed_tokens_ = 0;
  std::size_t committed_borders_ = 1;
};

}  // namespace mixlaw
