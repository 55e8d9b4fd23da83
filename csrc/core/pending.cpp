#include "mixlaw/pending.hpp"

#include <algorithm>

namespace mixlaw {

void PendingDocuments::add(const Documents& documents, std::size_t begin, std::size_t end, std::uint64_t vocab_size) {
  const std::size_t before = tokens_.size();
  tokens_.resize(before + (end - begin));
  load_tokens(documents.tokens, begin, end - begin, vocab_size, tokens_.data() + before);
  for (std::size_t d = 1; d <= documents.count; ++d) {
    const auto border = std::clamp(static_cast<std::size_t>(documents.offsets[d]), begin, end);
    const auto place = static_cast<std::int64_t>(before + (border - begin));
    if (place > borders_.back()) borders_.push_back(place);
  }
}

void PendingDocuments::commit() noexcept {
  committed_tokens_ = tokens_.size();
  committed_borders_ = borders_.size();
}

void PendingDocuments::rollback() noexcept {
  tokens_.resize(committed_tokens_);
  borders_.resize(committed_borders_);
}

void PendingDocuments::clear() {
  tokens_.clear();
  borders_.resize(1);
  commit();
}

Documents PendingDocuments::documents() const {
  return {{tokens_.data(), tokens_.size(), TokenType::u32}, borders_.data(), borders_.size() - 1};
}

std::size_t PendingDocuments::bytes_for(std::size_t tokens, std::size_t borders) {
  return tokens * sizeof(std::uint32_t) + borders * sizeof(std::int64_t);
}

void PendingDocuments::reserve(std::size_t bytes) {
  // As many of one as there can be if there are none of the other: pages are taken when they are first written.
  tokens_.reserve(bytes / sizeof(std::uint32_t));
  borders_.reserve(bytes / sizeof(std::int64_t));
}

}  // namespace mixlaw
