// Documents that wait to be counted together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "mixlaw/tokens.hpp"

namespace mixlaw {

// Documents whose first tokens may be history: n-grams that lie in those whole are not counted.
struct Input {
  Documents documents;
  std::size_t context;            // the first so many tokens of the array are history
  const std::uint8_t* histories;  // or, if it is given, so many of every document

  std::size_t begin(std::size_t d) const { return static_cast<std::size_t>(documents.offsets[d]); }
  std::size_t end(std::size_t d) const { return static_cast<std::size_t>(documents.offsets[d + 1]); }
  // How many tokens of document d are history.
  std::size_t history(std::size_t d) const {
    if (histories != nullptr) return histories[d];
    return context <= begin(d) ? 0 : (context < end(d) ? context : end(d)) - begin(d);
  }
};

// Additions are staged, and then committed or rolled back.
class PendingDocuments {
 public:
  // Adds a stretch of tokens as a document of which the first `history` tokens are such. Throws TokenError for the
  // first token outside the vocabulary.
  void add(const TokenArray& tokens, std::size_t begin, std::size_t end, std::size_t history, std::uint64_t vocab_size);
  // Adds all documents but empty ones.
  void add(const Input& input, std::uint64_t vocab_size);
  void commit() noexcept;
  void rollback() noexcept;
  void clear() noexcept;

  bool empty() const { return tokens_.empty(); }
  Input input() const;
  std::size_t bytes() const { return bytes_for(tokens_.size(), histories_.size()); }
  // What so many tokens and documents take.
  static std::size_t bytes_for(std::size_t tokens, std::size_t documents);
  // Takes room for so many bytes at once, since growing step by step would take up to three times as much.
  void reserve(std::size_t bytes);

 private:
  std::vector<std::uint32_t> tokens_;
  std::vector<std::int64_t> offsets_{0};
  std::vector<std::uint8_t> histories_;
  std::size_t committed_tokens_ = 0;
  std::size_t committed_documents_ = 0;
};

}  // namespace mixlaw
