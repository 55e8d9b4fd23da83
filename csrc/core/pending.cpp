#include "mixlaw/pending.hpp"

namespace mixlaw {

void PendingDocuments::add(const TokenArray& tokens, std::size_t begin, std::size_t end, std::size_t history,
                           std::uint64_t vocab_size) {
  if (begin == end) return;
  const std::size_t before = tokens_.size();
  tokens_.resize(before + (end - begin));
  load_tokens(tokens, begin, end - begin, vocab_size, tokens_.data() + before);
  offsets_.push_back(static_cast<std::int64_t>(tokens_.size()));
  histories_.push_back(static_cast<std::uint8_t>(history));
}

void PendingDocuments::add(const Input& input, std::uint64_t vocab_size) {
  const Documents& documents = input.documents;
  const std::size_t before = tokens_.size();
  tokens_.resize(before + documents.tokens.size);
  load_tokens(documents.tokens, 0, documents.tokens.size, vocab_size, tokens_.data() + before);
  for (std::size_t d = 0; d < documents.count; ++d) {
    if (input.begin(d) == input.end(d)) continue;
    offsets_.push_back(static_cast<std::int64_t>(before + input.end(d)));
    histories_.push_back(static_cast<std::uint8_t>(input.history(d)));
  }
}

void PendingDocuments::commit() noexcept {
  committed_tokens_ = tokens_.size();
  committed_documents_ = histories_.size();
}

void PendingDocuments::rollback() noexcept {
  tokens_.resize(committed_tokens_);
  offsets_.resize(committed_documents_ + 1);
  histories_.resize(committed_documents_);
}

void PendingDocuments::clear() noexcept {
  committed_tokens_ = 0;
  committed_documents_ = 0;
  rollback();
}

Input PendingDocuments::input() const {
  return {{{tokens_.data(), tokens_.size(), TokenType::u32}, offsets_.data(), histories_.size()}, 0, histories_.data()};
}

std::size_t PendingDocuments::bytes_for(std::size_t tokens, std::size_t documents) {
  return tokens * sizeof(std::uint32_t) + documents * (sizeof(std::int64_t) + sizeof(std::uint8_t));
}

void PendingDocuments::reserve(std::size_t bytes) {
  // As many of one as there can be if there are none of the others: pages are taken when they are first written.
  tokens_.reserve(bytes / sizeof(std::uint32_t));
  offsets_.reserve(bytes / sizeof(std::int64_t) + 1);
  histories_.reserve(bytes / sizeof(std::int64_t));
}

}  // namespace mixlaw
